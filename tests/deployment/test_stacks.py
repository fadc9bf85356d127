"""What the stacks make, described by AWS and compared with what was meant."""

import shutil

from conftest import FIRST, TEMPLATES, template


def names(tagged):
    return {tag["Key"]: tag["Value"] for tag in tagged.get("Tags", [])}


def test_the_file_system_is_encrypted_and_backed_up(deployed):
    efs = deployed.client("efs")
    identifier = deployed.outputs("ghbk-prod-base")["FileSystemId"]
    described = efs.describe_file_systems(FileSystemId=identifier)["FileSystems"][0]
    assert described["Encrypted"] is True
    assert efs.describe_backup_policy(FileSystemId=identifier)["BackupPolicy"]["Status"] == "ENABLED"
    lifecycle = efs.describe_lifecycle_configuration(FileSystemId=identifier)["LifecyclePolicies"]
    assert lifecycle == [{"TransitionToIA": "AFTER_30_DAYS"}]


def test_no_deletion_takes_the_mirrors_along():
    file_system = template("01-base.yml")["Resources"]["FileSystem"]
    assert file_system["DeletionPolicy"] == "Retain"
    assert file_system["UpdateReplacePolicy"] == "Retain"


def test_each_zone_has_a_mount_target_in_a_private_subnet(deployed):
    ec2, efs = deployed.client("ec2"), deployed.client("efs")
    vpc = deployed.outputs("ghbk-prod-infra")["VpcId"]
    targets = efs.describe_mount_targets(FileSystemId=deployed.outputs("ghbk-prod-base")["FileSystemId"])["MountTargets"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    private = {subnet["SubnetId"] for subnet in subnets if "-private-" in names(subnet)["Name"]}
    assert len(subnets) == 4 and len(private) == 2
    assert {target["SubnetId"] for target in targets} == private
    assert len({target["AvailabilityZoneName"] for target in targets}) == 2


def test_only_the_public_subnets_reach_the_internet(deployed):
    ec2 = deployed.client("ec2")
    vpc = deployed.outputs("ghbk-prod-infra")["VpcId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    for table in tables:
        to_everywhere = [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        is_public = names(table).get("aws:cloudformation:logical-id") == "PublicRoutes"
        assert len(to_everywhere) == (1 if is_public else 0), table
        if is_public:
            assert to_everywhere[0]["GatewayId"].startswith("igw-")
    # Which subnet has which table is what moto does not tell.
    resources = template("02-infra.yml")["Resources"]
    for name, subnet in resources.items():
        if subnet["Type"] == "AWS::EC2::Subnet":
            association = resources[f"{name}Routes"]["Properties"]
            assert association["SubnetId"] == {"Ref": name}
            kind = "Public" if name.startswith("Public") else "Private"
            assert association["RouteTableId"] == {"Ref": f"{kind}Routes"}
            assert not subnet["Properties"].get("MapPublicIpOnLaunch")


def test_nothing_comes_in_but_nfs_from_the_instance(deployed):
    ec2 = deployed.client("ec2")
    infra = deployed.outputs("ghbk-prod-infra")
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [infra["VpcId"]]}])["SecurityGroups"]
    ours = {names(group)["Name"]: group for group in groups if names(group)}
    instance, mount_target = ours["ghbk-prod-instance"], ours["ghbk-prod-mount-target"]
    assert len(ours) == 2
    assert instance["IpPermissions"] == []
    (rule,) = mount_target["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 2049, 2049)
    assert rule["IpRanges"] == [] and rule["Ipv6Ranges"] == []
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [instance["GroupId"]]


def test_the_instance_goes_out_to_the_web_and_the_file_system_only():
    """From the template: moto gives every group the rule that lets everything out."""
    resources = template("02-infra.yml")["Resources"]
    rules = resources["InstanceSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    assert {(rule["FromPort"], rule["ToPort"]) for rule in rules} == {(443, 443), (2049, 2049)}
    (nowhere,) = resources["MountTargetSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    assert nowhere["CidrIp"] == "127.0.0.1/32"


def test_whoever_mounts_is_ec2_user(deployed):
    efs = deployed.client("efs")
    identifier = deployed.outputs("ghbk-prod-infra")["AccessPointId"]
    point = efs.describe_access_points(AccessPointId=identifier)["AccessPoints"][0]
    assert {key: int(value) for key, value in point["PosixUser"].items()} == {"Uid": 1000, "Gid": 1000}
    assert point["RootDirectory"]["Path"] == "/ghbk"
    created = point["RootDirectory"]["CreationInfo"]
    assert (int(created["OwnerUid"]), int(created["OwnerGid"]), created["Permissions"]) == (1000, 1000, "0750")


def test_the_instance_is_as_meant(deployed):
    ec2 = deployed.client("ec2")
    infra = deployed.outputs("ghbk-prod-infra")
    identifier = deployed.outputs("ghbk-prod-ec2")["InstanceId"]
    instance = ec2.describe_instances(InstanceIds=[identifier])["Reservations"][0]["Instances"][0]
    assert names(instance)["Name"] == "github-backup-ec2-instance"
    assert instance["SubnetId"] == infra["SubnetId"]
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == [infra["InstanceSecurityGroupId"]]
    data = ec2.describe_launch_template_versions(LaunchTemplateName="ghbk-prod")["LaunchTemplateVersions"][0][
        "LaunchTemplateData"
    ]
    assert data["MetadataOptions"] == {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    volume = data["BlockDeviceMappings"][0]["Ebs"]
    assert volume["Encrypted"] is True and volume["VolumeType"] == "gp3"
    assert "KeyName" not in data
    assert data["ImageId"].startswith("ami-")


def test_its_role_is_that_of_the_stack(deployed):
    iam = deployed.client("iam")
    data = deployed.client("ec2").describe_launch_template_versions(LaunchTemplateName="ghbk-prod")[
        "LaunchTemplateVersions"
    ][0]["LaunchTemplateData"]
    profiles = iam.list_instance_profiles()["InstanceProfiles"]
    (profile,) = [profile for profile in profiles if profile["Arn"] == data["IamInstanceProfile"]["Arn"]]
    (role,) = profile["Roles"]
    trusted = role["AssumeRolePolicyDocument"]["Statement"]
    assert [statement["Principal"] for statement in trusted] == [{"Service": "ec2.amazonaws.com"}]
    assert iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"] == []


def test_log_and_alarms_have_a_place(deployed):
    groups = deployed.client("logs").describe_log_groups(logGroupNamePrefix="/ghbk/prod")["logGroups"]
    assert [(group["logGroupName"], group["retentionInDays"]) for group in groups] == [("/ghbk/prod", 400)]
    topic = deployed.outputs("ghbk-prod-ec2")["AlarmTopicArn"]
    subscriptions = deployed.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [(one["Protocol"], one["Endpoint"]) for one in subscriptions] == [("email", "people@example.com")]


def test_two_stages_stand_side_by_side(deployed):
    prod, dev = (
        {
            **deployed.outputs(f"ghbk-{stage}-base"),
            **deployed.outputs(f"ghbk-{stage}-infra"),
            **deployed.outputs(f"ghbk-{stage}-ec2"),
        }
        for stage in ("prod", "dev")
    )
    assert prod.keys() == dev.keys()
    assert not set(prod.values()) & set(dev.values())


def stacks(aws):
    return [stack["StackName"] for stack in aws.client("cloudformation").describe_stacks()["Stacks"]]


def test_a_refused_change_set_leaves_nothing(aws):
    ended = aws.deploy("--stage", "refused", *FIRST)
    assert ended.returncode == 3, ended.stderr
    # What would change is shown before anybody is asked.
    assert "FileSystem" in ended.stdout
    assert "add --yes" in ended.stderr
    assert not [name for name in stacks(aws) if name.startswith("ghbk-refused")]


def test_wrong_input_is_named_before_anything_is_made(aws):
    for arguments, about in (
        ([], "no stage is named"),
        (["--stage", "Prod!"], "is no name of a stage"),
        (["--stage"], "needs a value"),
        (["--stage", "wrong", "Owners=acme"], "no template has a parameter Owners"),
        (["--stage", "wrong", "Stage=dev"], "--stage"),
        (["--stage", "wrong", "dploy"], "unknown argument: dploy"),
        (["--stage", "wrong", "--yes", *FIRST[1:]], "whose repositories"),
        (["--stage", "wrong", "--yes", FIRST[0]], "a package or an image"),
        (["--stage", "wrong", "--yes", *FIRST[:2]], "RpmUrl needs RpmSha256"),
    ):
        ended = aws.deploy(*arguments)
        assert ended.returncode == 2 and about in ended.stderr, (arguments, ended.stderr)
        assert "hint: " in ended.stderr
    assert not [name for name in stacks(aws) if name.startswith("ghbk-wrong")]


def test_a_second_deployment_changes_what_is_named_and_nothing_else(aws):
    ended = aws.deploy("--stage", "twice", "--yes", *FIRST, "InfrequentAccessAfter=AFTER_60_DAYS", "Zones=2")
    assert ended.returncode == 0, ended.stderr
    ended = aws.deploy("--stage", "twice", "--yes", "LogRetentionDays=30", 'MoreConfig=limits.concurrency = 4\nlog.level = "info"')
    assert ended.returncode == 0, ended.stderr
    described = aws.client("cloudformation").describe_stacks(StackName="ghbk-twice-base")["Stacks"][0]
    parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in described["Parameters"]}
    assert parameters["InfrequentAccessAfter"] == "AFTER_60_DAYS"
    described = aws.client("cloudformation").describe_stacks(StackName="ghbk-twice-ec2")["Stacks"][0]
    parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in described["Parameters"]}
    assert (parameters["GitHubOwners"], parameters["LogRetentionDays"]) == ("acme,other", "30")
    assert parameters["MoreConfig"] == 'limits.concurrency = 4\nlog.level = "info"'
    ended = aws.deploy("--stage", "twice", "--yes")
    # moto sees a change in the third, where the image comes from a parameter.
    assert ended.returncode == 0 and ended.stdout.count("nothing to change") >= 2, ended.stdout + ended.stderr


def failing_aws(tmp_path, aws, when):
    """A CLI that has lost its login for some calls."""
    real = shutil.which("aws", path=aws.environment["PATH"])
    stub = tmp_path / "aws"
    stub.write_text(f'#!/bin/sh\ncase "$*" in {when}) echo "The SSO session has expired" >&2; exit 255 ;; esac\nexec {real} "$@"\n')
    stub.chmod(0o755)
    return {**aws.environment, "PATH": f"{tmp_path}:{aws.environment['PATH']}"}


def test_a_login_that_has_expired_is_not_a_stack_that_is_gone(aws, tmp_path):
    environment = failing_aws(tmp_path, aws, "*")
    for arguments in (["status"], ["destroy", "--yes"], ["deploy", "--yes", *FIRST]):
        ended = aws.deploy(*arguments, "--stage", "prod", environment=environment)
        assert ended.returncode == 1, (arguments, ended.stdout, ended.stderr)
        assert "has expired" in ended.stderr and "NONE" not in ended.stdout and "does not exist" not in ended.stdout


def test_an_update_that_cannot_see_the_parameters_does_not_take_place(deployed, tmp_path):
    environment = failing_aws(tmp_path, deployed, "*ParameterKey*")
    before = deployed.client("cloudformation").list_change_sets(StackName="ghbk-prod-base")["Summaries"]
    ended = deployed.deploy("--stage", "prod", "--yes", environment=environment)
    assert ended.returncode == 1 and "does not tell its parameters" in ended.stderr, ended.stderr
    after = deployed.client("cloudformation").list_change_sets(StackName="ghbk-prod-base")["Summaries"]
    assert len(after) == len(before)


def test_a_stack_that_fails_ends_the_deployment(aws):
    # A file system that is not there has no place for mount targets.
    ended = aws.deploy("--stage", "broken", "--yes", "ExistingFileSystemId=fs-00000000", *FIRST)
    assert ended.returncode == 1 and "fs-00000000" in ended.stderr, ended.stderr
    assert "ghbk-broken-base" in stacks(aws) and "ghbk-broken-ec2" not in stacks(aws)


def test_removal_leaves_the_mirrors(aws):
    ended = aws.deploy("--stage", "gone", "--yes", *FIRST)
    assert ended.returncode == 0, ended.stderr
    file_system = aws.outputs("ghbk-gone-base")["FileSystemId"]
    assert aws.deploy("destroy", "--stage", "gone").returncode == 3
    ended = aws.deploy("destroy", "--stage", "gone", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert file_system in ended.stdout
    assert not [name for name in stacks(aws) if name.startswith("ghbk-gone")]
    kept = aws.client("efs").describe_file_systems(FileSystemId=file_system)["FileSystems"]
    assert len(kept) == 1


def test_the_templates_are_numbered_in_the_order_of_their_exports():
    made = set()
    for path in sorted(TEMPLATES.glob("0*.yml")):
        text = path.read_text()
        for line in text.splitlines():
            if "Fn::ImportValue" in line:
                assert line.split("!Sub ")[1].strip() in made, f"{path.name} needs what comes later: {line}"
        made |= {
            output["Export"]["Name"]["Fn::Sub"]
            for output in template(path.name).get("Outputs", {}).values()
            if "Export" in output
        }
