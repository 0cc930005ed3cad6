"""`python -m consul_kam` is `consul-kam`."""

from consul_kam.cli import main

if __name__ == "__main__":
    main()
