#!/bin/sh
# Only when the package goes, not when it is upgraded.
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now ghbk.service || :
fi
exit 0
