"nbdev 2's setup: everything comes from settings.ini"
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
licenses = {"apache2": ("Apache Software License 2.0",
                        "OSI Approved :: Apache Software License")}
statuses = {"3": "3 - Alpha", "4": "4 - Beta", "5": "5 - Production/Stable"}
py_versions = "3.10 3.11 3.12 3.13".split()
extras = {key.removesuffix("_requirements"): cfg[key].split()
          for key in cfg if key.endswith("_requirements")}

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    license=licenses[cfg["license"]][0],
    description=cfg["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=cfg["keywords"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    packages=find_packages(include=["mnreward", "mnreward.*"]),
    include_package_data=True,
    package_data={"mnreward": ["*.json", "*.mplstyle", "py.typed", "results/*.json"]},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": cfg["console_scripts"].split(),
                  "nbdev": [f"{cfg['lib_name']}={cfg['lib_path']}._modidx:d"]},
    classifiers=[f"Development Status :: {statuses[cfg['status']]}",
                 "Intended Audience :: Developers",
                 "License :: " + licenses[cfg["license"]][1],
                 "Natural Language :: English",
                 *[f"Programming Language :: Python :: {v}"
                   for v in py_versions[py_versions.index(cfg["min_python"]):]]],
    zip_safe=False,
)
