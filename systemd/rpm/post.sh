#!/bin/sh
# Makes the user and the folders. Starts nothing: the configuration names nobody yet.
systemd-sysusers ghbk.conf || exit 1
systemd-tmpfiles --create ghbk.conf || exit 1
# In an image that is being built no systemd runs.
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || :
# An upgrade: the old daemon ends between two runs, never in one, and systemd starts the new one.
if [ "$1" -ge 2 ] && systemctl --quiet is-active ghbk.service; then
    systemctl kill --kill-whom=main --signal=USR1 ghbk.service || :
fi
exit 0
