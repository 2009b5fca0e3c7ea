create role {role} login password {password}
