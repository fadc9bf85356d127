#!/usr/bin/env bash
# Puts ghbk and what it needs into the image, then takes out what belongs to this one machine. Run by Packer, as root.
set -euo pipefail

dnf upgrade --assumeyes
dnf install --assumeyes amazon-cloudwatch-agent amazon-efs-utils git-core logrotate /tmp/ghbk.rpm
ghbk --version

# The units are there and nothing is enabled: an image without a configuration must not back up anything.
if systemctl is-enabled --quiet ghbk.service; then
    echo "ghbk.service is enabled in the image" >&2
    exit 1
fi

dnf clean all
rm -f /tmp/ghbk.rpm
# The keys, the identity and the traces of this machine are not those of the next.
rm -f /etc/ssh/ssh_host_*
rm -f /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
rm -f /root/.bash_history /home/*/.bash_history
rm -rf /var/lib/cloud/* /var/log/journal/* /var/lib/amazon/ssm/*
find /var/log -type f -exec truncate --size 0 {} +
: > /etc/machine-id
sync
