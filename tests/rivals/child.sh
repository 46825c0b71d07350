#!/bin/sh
# The child all managers look after: says that it is there, then prints until it is killed.
# Arguments: the directory for its stamp, its name.
: >"$1/$2.$$"
while :; do
    echo "$2 prints"
    sleep 0.2
done
