#!/bin/sh
# Runs CNI plugins as simple scripts do, and keeps nothing: naive.sh ADD|DEL FOLDER NAMESPACE ID IFNAME
#
# FOLDER has the configuration of each plugin in a file of its own, in order; DEL takes them from the last to the
# first. CNI_PATH is where the plugins are. After the model of scripts/docker-run.sh in containernetworking/cni.
set -eu
command=$1 folder=$2
export CNI_COMMAND=$1 CNI_NETNS=$3 CNI_CONTAINERID=$4 CNI_IFNAME=$5
result=
order=
[ "$command" = DEL ] && order=-r
for file in $(ls $order "$folder"); do
    conf=$(cat "$folder/$file")
    type=$(printf '%s' "$conf" | sed 's/.*"type": "\([a-z-]*\)", "naive": true.*/\1/')
    [ -n "$result" ] && conf="${conf%\}}, \"prevResult\": $result}"
    result=$(printf '%s' "$conf" | PATH="$CNI_PATH:$PATH" "$type")
done
[ "$command" = ADD ] && printf '%s\n' "$result"
exit 0
