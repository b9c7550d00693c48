#!/bin/sh
# One step of work: half a second, and two lines in the ledger. Each is appended by one write.
echo "$1 began" >> ledger.txt
sleep 0.5
echo "$1 ended" >> ledger.txt
