grant {group} to {role}
