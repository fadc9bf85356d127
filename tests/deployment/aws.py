"""An AWS on loopback: moto's server, with what it lacks of CloudFormation and EFS.

Usage: python aws.py PORT

Each change brings moto nearer to AWS; none makes a template pass that AWS would refuse. What moto still does not know
(alarms, metric filters, policies of file systems) it calls created without making anything: tests never trust a stack's
status, only what they find afterwards.
"""

import sys

from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.ec2.models.instances import Instance
from moto.ec2.models.vpcs import VPCBackend
from moto.efs.models import AccessPoint
from moto.server import main


def execute_change_set(self, change_set_name, stack_name=None):
    """Makes outputs and exports, which moto's change sets leave out, by going the way of create-stack."""
    change_set = self.describe_change_set(change_set_name)
    stack = self.stacks[change_set.stack_id]
    if change_set.change_set_type == "CREATE":
        del self.stacks[change_set.stack_id]
        self.create_stack(
            name=change_set.stack_name,
            template=change_set.template,
            parameters=change_set.parameters,
            notification_arns=change_set.notification_arns,
            tags=change_set.tags,
            role_arn=change_set.role_arn,
        )
    else:
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in change_set.parameters.items()]
        self.update_stack(stack.name, change_set.template, change_set.role_arn, parameters, change_set.tags)
    change_set.execution_status = "EXECUTE_COMPLETE"


CloudFormationBackend.execute_change_set = execute_change_set

# A change set without changes is made and has failed; its request is no error.
CloudFormationResponse._validate_different_update = lambda self, parameters, template, stack: None

delete_vpc = VPCBackend.delete_vpc


def delete_vpc_without_route_tables(self, vpc_id):
    """Forgets the route tables of the stack first, whose own deletion moto does not know."""
    for table in [table for table in self.route_tables.values() if table.vpc_id == vpc_id and table.main_association_id is None]:
        del self.route_tables[table.id]
    return delete_vpc(self, vpc_id)


VPCBackend.delete_vpc = delete_vpc_without_route_tables

parse_ssm_parameter = ResourceMap.parse_ssm_parameter
# An update brings the image that was found the first time, which is no parameter's name.
ResourceMap.parse_ssm_parameter = lambda self, value, value_type: (
    value if value.startswith("ami-") else parse_ssm_parameter(self, value, value_type)
)

# `Ref` of an access point is its id.
AccessPoint.physical_resource_id = property(lambda self: self.access_point_id)

create_instance = Instance.create_from_cloudformation_json.__func__


def create_instance_from_template(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
    """Passes the launch template on, which moto's resource leaves aside although its RunInstances knows it."""
    from moto.ec2.models import ec2_backends

    properties = cloudformation_json["Properties"]
    if "LaunchTemplate" not in properties:
        return create_instance(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs)
    backend = ec2_backends[account_id][region_name]
    template = backend.get_launch_template(properties["LaunchTemplate"]["LaunchTemplateId"])
    data = template.get_version(int(properties["LaunchTemplate"]["Version"])).data
    interface = data["NetworkInterfaces"][0]
    reservation = backend.run_instances(
        image_id=data["ImageId"],
        count=1,
        user_data=data["UserData"],
        security_group_names=[],
        security_group_ids=list(interface["Groups"]),
        instance_type=data["InstanceType"],
        is_instance_type_default=False,
        subnet_id=interface["SubnetId"],
        associate_public_ip=interface["AssociatePublicIpAddress"],
        launch_template=properties["LaunchTemplate"],
        metadata_options=data["MetadataOptions"],
        tags={"instance": {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}},
    )
    instance = reservation.instances[0]
    backend.associate_iam_instance_profile(
        instance_id=instance.id, iam_instance_profile_arn=data["IamInstanceProfile"]["Arn"]
    )
    return instance


Instance.create_from_cloudformation_json = classmethod(create_instance_from_template)

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
