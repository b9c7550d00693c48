#!/bin/sh
# note.sh UNIT STATUS ERROR: a line in the journal when a unit's status is another than before. The error
# begins with the unit and its status, too: that is left out.
[ "$(grep "^$1 " journal.txt | tail -n 1 | cut -d ' ' -f 2)" = "$2" ] ||
  echo "$1 $2 ${3#*: }" >> journal.txt
