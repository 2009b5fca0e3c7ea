alter role {role} login
