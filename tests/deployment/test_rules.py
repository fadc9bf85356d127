"""The rules of cloudformation/rules.guard: every template keeps them, and a template that breaks one is caught."""

import os
import shutil
import subprocess

import pytest
from conftest import TEMPLATES

GUARD = os.environ.get("GHBK_TEST_CFN_GUARD") or shutil.which("cfn-guard") or "cfn-guard is not installed: scripts/test"


def validate(path):
    return subprocess.run(
        [GUARD, "validate", "--rules", str(TEMPLATES / "rules.guard"), "--data", str(path), "--show-summary", "all"],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_template_keeps_every_rule():
    paths = sorted(TEMPLATES.glob("0*.yml"))
    assert len(paths) >= 3
    for path in paths:
        ended = validate(path)
        assert ended.returncode == 0, ended.stdout


ANYWHERE = """  FromAnywhere:
    Type: AWS::EC2::SecurityGroupIngress
    Properties:
      GroupId: !Ref MountTargetSecurityGroup
      IpProtocol: tcp
      FromPort: 2049
      ToPort: 2049
      CidrIp: 0.0.0.0/0

Outputs:"""
# What is written, what somebody might make of it, and the rule that must object.
BREACHES = [
    ("01-base.yml", "Encrypted: true", "Encrypted: false", "file_systems_are_encrypted"),
    ("01-base.yml", "      Encrypted: true\n", "", "file_systems_are_encrypted"),
    ("01-base.yml", "    DeletionPolicy: Retain\n", "", "file_systems_outlive_their_stack"),
    ("01-base.yml", "UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete", "file_systems_outlive_their_stack"),
    ("01-base.yml", "Status: ENABLED", "Status: DISABLED", "file_systems_are_backed_up"),
    ("01-base.yml", 'aws:SecureTransport: "false"', 'aws:SecureTransport: "true"', "file_systems_demand_tls"),
    ("01-base.yml", "Sid: OnlyWithTls", "Sid: Other", "file_systems_demand_tls"),
    ("01-base.yml", "              - elasticfilesystem:ClientMount\n", "", "file_systems_demand_tls"),
    ("01-base.yml", "Sid: OnlyThroughAnAccessPoint", "Sid: Other", "file_systems_demand_an_access_point"),
    ("02-infra.yml", "Outputs:", ANYWHERE, "what_comes_in_is_nfs_from_a_group"),
    (
        "02-infra.yml",
        "      SecurityGroupEgress:\n        - Description: GitHub",
        "      SecurityGroupIngress:\n        - IpProtocol: tcp\n          FromPort: 22\n          ToPort: 22\n"
        "          CidrIp: 0.0.0.0/0\n      SecurityGroupEgress:\n        - Description: GitHub",
        "security_groups_let_nothing_in",
    ),
    ("02-infra.yml", "IpProtocol: tcp\n          FromPort: 443", 'IpProtocol: "-1"\n          FromPort: 443', "security_groups_say_what_goes_out"),
    ("02-infra.yml", "MapPublicIpOnLaunch: false", "MapPublicIpOnLaunch: true", "subnets_give_no_addresses"),
    ("03-ec2.yml", "HttpTokens: required", "HttpTokens: optional", "instances_demand_imdsv2"),
    ("03-ec2.yml", "              Encrypted: true\n", "", "volumes_are_encrypted"),
    ("03-ec2.yml", "      LaunchTemplate:\n", "      KeyName: mine\n      LaunchTemplate:\n", "instances_come_from_a_launch_template"),
    (
        "03-ec2.yml",
        "      AssumeRolePolicyDocument:",
        "      ManagedPolicyArns: [arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore]\n      AssumeRolePolicyDocument:",
        "roles_have_no_policies_of_others",
    ),
    ("03-ec2.yml", "Action: ssm:GetParameters", 'Action: "ssm:*"', "roles_name_their_actions"),
    ("03-ec2.yml", "- ssmmessages:OpenDataChannel", "- ssmmessages:OpenDataChannel\n                  - ssm:GetParameter", "roles_name_their_resources"),
    (
        "03-ec2.yml",
        "Resource: !Sub arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*",
        'Resource: "*"',
        "roles_name_their_resources",
    ),
    ("03-ec2.yml", "                  - logs:PutLogEvents\n                Resource:\n", "                  - logs:PutLogEvents\n                Resource:\n                  - '*'\n", "roles_name_their_resources"),
    ("03-ec2.yml", "Action: s3:GetObject", "Action: s3:*", "policies_name_resources_and_actions"),
    ("03-ec2.yml", "      RetentionInDays: !Ref LogRetentionDays\n", "", "logs_end_some_day"),
]


@pytest.mark.parametrize(("name", "written", "broken", "rule"), BREACHES, ids=lambda value: None)
def test_a_breach_is_caught(tmp_path, name, written, broken, rule):
    text = (TEMPLATES / name).read_text()
    assert written in text
    path = tmp_path / name
    path.write_text(text.replace(written, broken, 1))
    ended = validate(path)
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert ended.returncode != 0 and [f"rules.guard/{rule}", "FAIL"] in lines, ended.stdout
