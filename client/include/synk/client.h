/*
 * The client library, whole. Each of these headers also stands alone:
 *   connection.h   opening, the event loop, threads, the general request, lists
 *   units.h        definitions: apply, show, list, pause, resume, plan
 *   runs.h         run, wait, cancel, retry, show, list, explain, logs
 *   pool.h         tasks by the thousand
 *   events.h       subscriptions to the event log
 *   supervisor.h   hosts, statistics, backup, shutdown
 */
#ifndef SYNK_CLIENT_H
#define SYNK_CLIENT_H

#include <synk/connection.h>
#include <synk/events.h>
#include <synk/pool.h>
#include <synk/runs.h>
#include <synk/supervisor.h>
#include <synk/units.h>

#endif
