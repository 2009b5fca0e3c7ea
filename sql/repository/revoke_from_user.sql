revoke {group} from {role}
