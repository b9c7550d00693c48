#!/bin/sh
# note.sh UNIT STATUS ERROR: a line in the journal when a unit's status is another than before.
[ "$(grep "^$1 " journal.txt | tail -n 1 | cut -d ' ' -f 2)" = "$2" ] ||
  echo "$1 $2 $(echo "$3" | head -n 1)" >> journal.txt
