"""Several hosts on one network, reached by Ansible through real ssh; nothing of it has a way out."""
