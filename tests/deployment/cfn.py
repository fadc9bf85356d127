"""Reads CloudFormation's templates, and what an instance runs at its first boot.

Usage: python cfn.py KEY=VALUE…   prints the user data of 03-ec2.yml with these parameters
"""

import re
import sys
from pathlib import Path

import yaml

TEMPLATES = Path(__file__).parents[2] / "cloudformation"


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref x` as {"Ref": x}, `!Sub x` as {"Fn::Sub": x}."""


def short_form(loader, suffix, node):
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


Loader.add_multi_constructor("!", short_form)


def template(name):
    return yaml.load((TEMPLATES / name).read_text(), Loader=Loader)


def user_data(values):
    """The script with its parameters filled in; the templates' defaults stand for those not given."""
    instance = template("03-ec2.yml")
    defaults = {name: parameter.get("Default", "") for name, parameter in instance["Parameters"].items()}
    data = instance["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    text, imported = data["UserData"]["Fn::Base64"]["Fn::Sub"]
    values = {"AWS::Region": "us-east-1", "AWS::StackName": "ghbk-prod-ec2", **defaults, **values}
    values = {**{name: name for name in imported}, **values}
    return re.sub(r"\$\{([^!}]+)\}", lambda match: str(values[match[1]]), text)


if __name__ == "__main__":
    print(user_data(dict(argument.split("=", 1) for argument in sys.argv[1:])), end="")
