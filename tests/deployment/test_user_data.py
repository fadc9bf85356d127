"""What the instance runs at its first boot. scripts/test-systemd runs it, too, as far as a container can."""

import os
import shutil
import subprocess

from cfn import user_data as filled_in
from conftest import user_data


def test_aws_fills_in_what_we_do(deployed):
    ours = filled_in(
        {
            "AWS::StackName": "ghbk-prod-ec2",
            "GitHubOwners": "acme,other",
            "RpmUrl": "s3://packages/ghbk.rpm",
            "RpmSha256": "0" * 64,
            "FileSystemId": deployed.outputs("ghbk-prod-base")["FileSystemId"],
            "AccessPointId": deployed.outputs("ghbk-prod-infra")["AccessPointId"],
        }
    )
    assert user_data(deployed, "prod") == ours
    # EC2 takes 16 KiB at most.
    assert len(ours.encode()) < 16_384


def test_shellcheck_has_no_complaint():
    shellcheck = shutil.which("shellcheck") or "shellcheck is not installed: scripts/test"
    ended = subprocess.run([shellcheck, "-"], input=filled_in({}), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout


def test_nothing_secret_is_in_it():
    text = filled_in({"GitHubTokenParameter": "token-name"})
    assert "token-name" in text
    assert "get-parameter" not in text and "ghp_" not in text


def test_each_name_a_person_may_choose_stays_one_word(tmp_path):
    """The patterns of the parameters keep quotes out; the script quotes every one all the same."""
    head = filled_in({"GitHubOwners": "acme", "Cron": "0 0 5 * * Sun"}).split("# CloudFormation waits")[0]
    script = tmp_path / "head.sh"
    script.write_text(head + "printf '%s|' \"$owners\" \"$cron\" \"$timezone\"\n")
    ended = subprocess.run(["bash", str(script)], capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert ended.stdout == "acme|0 0 5 * * Sun|Asia/Tokyo|"
