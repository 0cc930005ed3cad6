"""NOTE to the owner of this file: the command-line helper overwrote your uncommitted app/templates.py at 21:38 by mistake.

What it held (SHIPPED, export, sets_environment, by your tests/integration/test_templates.py) is lost on disk: please write
it again from your own notes. The command line's own code has moved to app/exporting.py; it will use yours once it is here.
"""
