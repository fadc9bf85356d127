#!/usr/bin/env bash
# Deploys ghbk to AWS, stack by stack, each after you have seen what it changes; or removes it and leaves the data.
set -euo pipefail

usage() {
    cat << 'END'
usage: cloudformation/deploy.sh [deploy|status|destroy] --stage NAME [--profile NAME] [--region NAME] [--yes] [KEY=VALUE…]

  deploy    creates or updates the stacks ghbk-STAGE-base, -infra and -ec2 in this order (the default)
  status    shows the stacks and their outputs
  destroy   deletes the stacks in the opposite order; the file system and its mirrors stay

  --stage NAME     names the deployment, such as prod; several may stand side by side
  --profile NAME   a profile of the AWS CLI; `aws sso login --profile NAME` first
  --region NAME    the region, if the profile does not say it
  --yes            does not ask
  KEY=VALUE        a parameter of any of the templates; what an update does not name stays as it is

The first deployment needs GitHubOwners and an image or a package:
  cloudformation/deploy.sh --stage prod --profile backup GitHubOwners=acme ImageId=ami-0123456789abcdef0
  cloudformation/deploy.sh --stage prod --profile backup GitHubOwners=acme RpmUrl=s3://BUCKET/ghbk.rpm RpmSha256=…

Exit status: 0 done, or nothing to do · 1 a stack failed; its events say why · 2 usage · 3 not confirmed
END
}

fail() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 3 ] || printf 'hint: %s\n' "$3" >&2
    exit "$2"
}

verb=deploy
stage=
profile=
region=
confirmed=
given=()
while [ $# -gt 0 ]; do
    case $1 in
        deploy | status | destroy) verb=$1 ;;
        --stage | --profile | --region)
            [ $# -ge 2 ] || fail "$1 needs a value" 2 "cloudformation/deploy.sh --help"
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        --yes) confirmed=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        [A-Z]*=*) given+=("$1") ;;
        *) fail "unknown argument: $1" 2 "cloudformation/deploy.sh --help" ;;
    esac
    shift
done
[ -n "$stage" ] || fail "no stage is named" 2 "--stage prod"
[[ $stage =~ ^[a-z][a-z0-9-]{0,19}$ ]] || fail "$stage is no name of a stage" 2 "lower-case letters, digits and hyphens, 20 at most"
command -v aws > /dev/null || fail "the AWS CLI is not installed" 2 "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"

templates=$(cd "$(dirname "$0")" && pwd)
# Nothing here is to be paged.
export AWS_PAGER=
# The CLI's own exit statuses say nothing that its message does not say.
cli() { aws ${profile:+--profile "$profile"} ${region:+--region "$region"} cloudformation "$@" || return 1; }
stack_of() {
    local name
    name=$(basename "$1" .yml)
    echo "ghbk-$stage-${name#*-}"
}
# Prints NONE for a stack that does not exist. Any other refusal (no login, no network) is not that.
status_of() {
    local answer
    if answer=$(cli describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' --output text 2>&1); then
        echo "$answer"
    elif [[ $answer == *"does not exist"* ]]; then
        echo NONE
    else
        printf '%s\n' "$answer" >&2
        fail "AWS does not say whether $1 exists" 1 "aws sso login${profile:+ --profile $profile}; check --profile and --region"
    fi
}
# Prints one output of a stack; nothing if it has none.
output_of() {
    cli describe-stacks --stack-name "$1" --output text --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue" \
        | sed '/^None$/d'
}
confirm() {
    [ -z "$confirmed" ] || return 0
    if [ ! -t 0 ]; then
        echo "nobody can be asked; add --yes" >&2
        return 1
    fi
    local answer
    read -r -p "$1 [y/N] " answer
    [[ $answer == [yY]* ]]
}
show_failures() {
    cli describe-stack-events --stack-name "$1" --output table --query \
        'reverse(StackEvents[?contains(ResourceStatus, '"'FAILED'"')].[LogicalResourceId, ResourceStatus, ResourceStatusReason])'
}
show_outputs() {
    cli describe-stacks --stack-name "$1" --query 'Stacks[0].Outputs[].[OutputKey, OutputValue, Description]' --output table
}

# Prints the parameters of a template as JSON: what was named, else what the stack has, else the default.
parameters_of() {
    local template=$1 status=$2 known='' key pair value separator=''
    if [ "$status" != NONE ]; then
        # An update that does not know them would set every parameter back to its default.
        known=$(cli describe-stacks --stack-name "$(stack_of "$template")" \
            --query 'Stacks[0].Parameters[].ParameterKey' --output text) || return 1
        known=$(tr '\t' '\n' <<< "$known")
    fi
    printf '['
    for key in $(declared_by "$template"); do
        value=
        if grep -qx "$key" <<< "$known"; then value='"UsePreviousValue": true'; fi
        for pair in "Stage=$stage" ${given[@]+"${given[@]}"}; do
            if [ "${pair%%=*}" = "$key" ]; then
                pair=${pair#*=}
                pair=${pair//\\/\\\\}
                pair=${pair//\"/\\\"}
                value="\"ParameterValue\": \"${pair//$'\n'/\\n}\""
            fi
        done
        [ -n "$value" ] || continue
        printf '%s{"ParameterKey": "%s", %s}' "$separator" "$key" "$value"
        separator=', '
    done
    printf ']\n'
}
declared_by() { sed -n '/^Parameters:/,/^[A-Z].*:$/s/^  \([A-Za-z0-9]*\):$/\1/p' "$1"; }

named() { printf '%s\n' ${given[@]+"${given[@]}"} | grep -q "^$1=."; }

# Refuses what the last stack would refuse, before the first is made.
check_parameters() {
    local pair template status
    for pair in ${given[@]+"${given[@]}"}; do
        for template in "$templates"/0*.yml; do
            [ "${pair%%=*}" != Stage ] || fail "the stage is named by --stage" 2 "--stage ${pair#*=}"
            if declared_by "$template" | grep -qx "${pair%%=*}"; then continue 2; fi
        done
        fail "no template has a parameter ${pair%%=*}" 2 "grep -A4 '^Parameters' cloudformation/*.yml"
    done
    if named RpmUrl && ! named RpmSha256; then
        fail "RpmUrl needs RpmSha256" 2 "scripts/package prints it; sha256sum FILE.rpm"
    fi
    status=$(status_of "ghbk-$stage-ec2")
    if [ "$status" = NONE ] || [ "$status" = REVIEW_IN_PROGRESS ]; then
        named GitHubOwners || fail "the first deployment needs to know whose repositories" 2 "GitHubOwners=acme"
        named ImageId || named RpmUrl \
            || fail "the first deployment needs a package or an image" 2 "RpmUrl=… RpmSha256=…, or ImageId=ami-…"
    fi
}

deploy() {
    local template=$1 stack status kind change_set reason waiter
    stack=$(stack_of "$template")
    status=$(status_of "$stack")
    printf '\n== %s (%s)\n' "$stack" "$(basename "$template")"
    case $status in
        # A change set that was refused leaves a stack that holds nothing.
        NONE | REVIEW_IN_PROGRESS) kind=CREATE status=NONE ;;
        ROLLBACK_COMPLETE | DELETE_FAILED | ROLLBACK_FAILED)
            fail "$stack is in the state $status, from which it cannot be updated" 1 \
                "aws cloudformation delete-stack --stack-name $stack, wait until it is gone, then deploy again; file systems stay" ;;
        *_IN_PROGRESS) fail "$stack is being changed already ($status)" 1 "wait for it" ;;
        *) kind=UPDATE ;;
    esac
    local parameters
    parameters=$(parameters_of "$template" "$status") || fail "$stack does not tell its parameters" 1 "its message is above"
    change_set=deploy-$(date -u +%Y%m%dT%H%M%SZ)
    cli create-change-set --stack-name "$stack" --change-set-name "$change_set" --change-set-type "$kind" \
        --template-body "file://$template" --parameters "$parameters" \
        --capabilities CAPABILITY_IAM --tags "Key=ghbk-stage,Value=$stage" > /dev/null \
        || fail "$stack: AWS refuses the change" 1 "its message is above"
    if ! cli wait change-set-create-complete --stack-name "$stack" --change-set-name "$change_set" 2> /dev/null; then
        reason=$(cli describe-change-set --stack-name "$stack" --change-set-name "$change_set" \
            --query StatusReason --output text)
        cli delete-change-set --stack-name "$stack" --change-set-name "$change_set"
        case $kind,$reason in
            UPDATE,*"didn't contain changes"* | UPDATE,*"No updates are to be performed"*)
                echo "nothing to change"
                return
                ;;
        esac
        fail "$stack: $reason" 1
    fi
    cli describe-change-set --stack-name "$stack" --change-set-name "$change_set" --output table \
        --query 'Changes[].ResourceChange.[Action, LogicalResourceId, ResourceType, Replacement]'
    if ! confirm "Carry this out?"; then
        cli delete-change-set --stack-name "$stack" --change-set-name "$change_set"
        [ "$kind" = UPDATE ] || cli delete-stack --stack-name "$stack"
        fail "not confirmed; $stack is as it was" 3
    fi
    cli execute-change-set --stack-name "$stack" --change-set-name "$change_set"
    if [ "$kind" = CREATE ]; then waiter="stack-create-complete"; else waiter="stack-update-complete"; fi
    if ! cli wait "$waiter" --stack-name "$stack"; then
        show_failures "$stack" >&2
        fail "$stack failed; the stacks after it were not touched" 1 "the reasons are in the table"
    fi
    show_outputs "$stack"
}

destroy() {
    local stack status
    stack=$(stack_of "$1")
    status=$(status_of "$stack")
    if [ "$status" = NONE ]; then
        echo "$stack does not exist"
        return
    fi
    echo "deleting $stack"
    cli delete-stack --stack-name "$stack"
    if ! cli wait stack-delete-complete --stack-name "$stack"; then
        show_failures "$stack" >&2
        fail "$stack could not be deleted" 1 "PowerUserAccess may not remove a role; see docs/aws.md, Removal"
    fi
}

case $verb in
    deploy)
        check_parameters
        for template in "$templates"/0*.yml; do deploy "$template"; done
        ;;
    status)
        for template in "$templates"/0*.yml; do
            stack=$(stack_of "$template")
            status=$(status_of "$stack")
            printf '\n== %s: %s\n' "$stack" "$status"
            [ "$status" = NONE ] || show_outputs "$stack"
        done
        ;;
    destroy)
        file_system=
        status=$(status_of "ghbk-$stage-base")
        [ "$status" = NONE ] || file_system=$(output_of "ghbk-$stage-base" FileSystemId)
        confirm "Delete instance, network, log and alarms of the stage $stage? The file system stays." \
            || fail "not confirmed; nothing was deleted" 3
        for template in $(printf '%s\n' "$templates"/0*.yml | sort -r); do destroy "$template"; done
        if [ -n "$file_system" ]; then
            echo "the mirrors are on the file system $file_system, which costs money until you delete it;" \
                "deploy again with ExistingFileSystemId=$file_system to go on with it"
        fi
        ;;
esac
