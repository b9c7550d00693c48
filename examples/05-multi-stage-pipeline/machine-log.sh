#!/bin/sh
# Prints the log of machine $1, as slowly as a line to another town delivers it.
sleep 0.3
awk -v seed="$1" 'BEGIN {
  srand(seed)
  for (i = 1; i <= 20000; i++)
    printf "%05d %s request %d\n", i, rand() < 0.01 ? "ERROR" : "info", 1000 * rand()
}'
