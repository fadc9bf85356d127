"""An AWS on loopback for all tests, and the stacks deployed there once, by the script that people use."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from cfn import TEMPLATES, template

__all__ = ["TEMPLATES", "template"]

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
# moto takes the zones of GetAZs from this region, whatever the stack's.
REGION = "us-east-1"
ACCOUNT = "123456789012"
# What a first deployment names.
FIRST = ["GitHubOwners=acme,other", "RpmUrl=s3://packages/ghbk.rpm", f"RpmSha256={'0' * 64}"]


class Aws:
    """Where AWS is, and the clients that speak to it."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def deploy(self, *arguments, environment=None):
        """Runs cloudformation/deploy.sh."""
        return subprocess.run(
            [str(TEMPLATES / "deploy.sh"), *arguments],
            env=environment or self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def outputs(self, stack):
        described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


@pytest.fixture(scope="session")
def aws():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(HERE / "aws.py"), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started = Aws(port)
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{started.url}/moto-api/", timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, "moto does not start"
            time.sleep(0.1)
    yield started
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture(scope="session")
def deployed(aws):
    """The stage prod in two zones, and the stage dev beside it."""
    for stage, more in (("prod", ["Zones=2", "AlarmEmail=people@example.com"]), ("dev", [])):
        ended = aws.deploy("--stage", stage, "--yes", *FIRST, *more)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return aws


def user_data(aws, stage):
    """The script that the instance runs at its first boot, with everything filled in."""
    ec2 = aws.client("ec2")
    version = ec2.describe_launch_template_versions(LaunchTemplateName=f"ghbk-{stage}")["LaunchTemplateVersions"][-1]
    return base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()


def simulate(simulations):
    """Asks a simulator of IAM: Allowed, ImplicitlyDenied or ExplicitlyDenied for each."""
    # It leaves out context keys that a caller makes up, as KMS lets callers do; on both sides another such key stands in.
    text = json.dumps(simulations).replace("kms:EncryptionContext:PARAMETER_ARN", "aws:PrincipalTag/PARAMETER_ARN")
    ended = subprocess.run(
        ["node", "simulate.mjs"],
        cwd=HERE / "iam",
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
