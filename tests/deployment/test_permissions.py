"""What the instance may do, and what nobody may: asked of a simulator of IAM with the policies that the stacks made."""

import ast

import pytest
from conftest import ACCOUNT, REGION, simulate, template

PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"


@pytest.fixture(scope="module")
def stage(deployed):
    """The policies of the role of stage prod, and what they are about."""
    iam = deployed.client("iam")
    (role,) = [role for role in iam.list_roles()["Roles"] if role["RoleName"].startswith("ghbk-prod")]
    policies = []
    for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
        # moto gives that of a role's own policy as Python would print it.
        policy = ast.literal_eval(document) if isinstance(document, str) else document
        policies.append({"name": name, "policy": policy})
    base, infra = deployed.outputs("ghbk-prod-base"), deployed.outputs("ghbk-prod-infra")
    efs = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}"
    return {
        "role": role["Arn"],
        "policies": policies,
        "file_system": f"{efs}:file-system/{base['FileSystemId']}",
        "other_file_system": f"{efs}:file-system/fs-0123456789abcdef0",
        "access_point": f"{efs}:access-point/{infra['AccessPointId']}",
        "other_access_point": f"{efs}:access-point/fsap-0123456789abcdef0",
        "file_system_policy": template("01-base.yml")["Resources"]["FileSystem"]["Properties"]["FileSystemPolicy"],
    }


def ask(stage, requests, resource_policy=None):
    simulations = []
    for action, resource, context in requests:
        simulation = {
            "request": {
                "principal": stage["role"],
                "action": action,
                "resource": {"resource": resource, "accountId": ACCOUNT},
                "contextVariables": context,
            },
            "identityPolicies": stage["policies"],
        }
        if resource_policy:
            simulation["resourcePolicy"] = resource_policy
        simulations.append(simulation)
    return simulate(simulations)


def decrypting(parameter):
    return {"kms:ViaService": f"ssm.{REGION}.amazonaws.com", "kms:EncryptionContext:PARAMETER_ARN": parameter}


def test_the_role_reads_its_two_parameters_and_no_third(stage):
    token, webhook, third = (f"{PARAMETER}/{name}" for name in ("github-token", "slack-webhook-url", "password"))
    assert ask(stage, [("ssm:GetParameters", token, {}), ("ssm:GetParameters", webhook, {})]) == ["Allowed"] * 2
    answers = ask(
        stage,
        [
            ("ssm:GetParameters", third, {}),
            ("ssm:GetParameters", f"{PARAMETER}/github-token-2", {}),
            ("ssm:GetParameter", third, {}),
            ("ssm:GetParametersByPath", f"{PARAMETER}/github", {}),
            ("ssm:PutParameter", token, {}),
            ("ssm:DeleteParameter", token, {}),
        ],
    )
    assert answers == ["ImplicitlyDenied"] * 6


def test_the_role_decrypts_its_two_parameters_and_nothing_else(stage):
    token, webhook, third = (f"{PARAMETER}/{name}" for name in ("github-token", "slack-webhook-url", "password"))
    # A key that leaves it to IAM, as a customer's own key does.
    key_policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
        ],
    }
    contexts = [
        decrypting(token),
        decrypting(webhook),
        decrypting(third),
        {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
        {},
    ]
    answers = ask(stage, [("kms:Decrypt", KEY, context) for context in contexts], key_policy)
    assert answers == ["Allowed"] * 2 + ["ImplicitlyDenied"] * 3


def test_the_role_mounts_through_its_own_access_point_only(stage):
    mount, write, root = (f"elasticfilesystem:Client{what}" for what in ("Mount", "Write", "RootAccess"))
    secure = {"aws:SecureTransport": "true"}
    ours = {**secure, "elasticfilesystem:AccessPointArn": stage["access_point"]}
    others = {**secure, "elasticfilesystem:AccessPointArn": stage["other_access_point"]}
    plain = {**ours, "aws:SecureTransport": "false"}
    file_system, policy = stage["file_system"], stage["file_system_policy"]
    assert ask(stage, [(mount, file_system, ours), (write, file_system, ours)], policy) == ["Allowed"] * 2
    answers = ask(
        stage,
        [
            (mount, file_system, others),
            (mount, file_system, secure),
            (mount, file_system, plain),
            (write, file_system, plain),
            (root, file_system, ours),
            (mount, stage["other_file_system"], ours),
            ("elasticfilesystem:DeleteFileSystem", file_system, {}),
            ("elasticfilesystem:PutFileSystemPolicy", file_system, {}),
        ],
        policy,
    )
    assert "Allowed" not in answers, answers


def test_nobody_mounts_without_tls_or_an_access_point(stage):
    """Even a role that may do everything."""
    mighty = {**stage, "policies": [{"name": "all", "policy": {
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}]}
    mount, file_system = "elasticfilesystem:ClientMount", stage["file_system"]
    point = {"elasticfilesystem:AccessPointArn": stage["access_point"]}
    answers = ask(
        mighty,
        [
            (mount, file_system, {**point, "aws:SecureTransport": "true"}),
            (mount, file_system, {**point, "aws:SecureTransport": "false"}),
            (mount, file_system, {"aws:SecureTransport": "true"}),
            ("elasticfilesystem:ClientRootAccess", file_system, {**point, "aws:SecureTransport": "true"}),
            # Whoever manages the file system can still mend its policy.
            ("elasticfilesystem:PutFileSystemPolicy", file_system, {"aws:SecureTransport": "true"}),
        ],
        stage["file_system_policy"],
    )
    assert answers == ["Allowed", "ExplicitlyDenied", "ExplicitlyDenied", "ExplicitlyDenied", "Allowed"]


def test_the_role_writes_its_own_log_group(stage):
    stream = f"{LOGS}:/ghbk/prod:log-stream:i-0123456789abcdef0"
    assert ask(stage, [("logs:PutLogEvents", stream, {}), ("logs:CreateLogStream", stream, {})]) == [
        "Allowed"
    ] * 2
    answers = ask(
        stage,
        [
            ("logs:PutLogEvents", f"{LOGS}:/ghbk/production:log-stream:i-0", {}),
            ("logs:PutLogEvents", f"{LOGS}:/ghbk/dev:log-stream:i-0", {}),
            ("logs:GetLogEvents", stream, {}),
            ("logs:DeleteLogGroup", f"{LOGS}:/ghbk/prod", {}),
            ("logs:CreateLogGroup", f"{LOGS}:/ghbk/prod", {}),
        ],
    )
    assert answers == ["ImplicitlyDenied"] * 5


def test_session_manager_reaches_it_and_it_reaches_nobody(stage):
    answers = ask(
        stage,
        [
            ("ssmmessages:OpenDataChannel", "*", {}),
            ("ssmmessages:CreateControlChannel", "*", {}),
            ("ssm:UpdateInstanceInformation", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0", {}),
        ],
    )
    assert answers == ["Allowed"] * 3
    answers = ask(
        stage,
        [
            ("ssm:StartSession", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0", {}),
            ("ssm:SendCommand", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0", {}),
            ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {}),
            ("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*", {}),
        ],
    )
    assert "Allowed" not in answers, answers


def test_it_may_fetch_its_package_and_nothing_else_of_the_bucket(stage):
    answers = ask(
        stage,
        [
            ("s3:GetObject", "arn:aws:s3:::packages/ghbk.rpm", {}),
            ("s3:GetObject", "arn:aws:s3:::packages/other.rpm", {}),
            ("s3:PutObject", "arn:aws:s3:::packages/ghbk.rpm", {}),
            ("s3:ListBucket", "arn:aws:s3:::packages", {}),
        ],
    )
    assert answers == ["Allowed", "ImplicitlyDenied", "ImplicitlyDenied", "ImplicitlyDenied"]
