/* `synkd state …`: work on a state that no supervisor has. `synk state` starts it. */
#ifndef SUPERVISOR_STATE_H
#define SUPERVISOR_STATE_H

/* argv[0] is "state". An exit status: 0, 1 (it failed, or the state has faults), 2 (wrong usage).
 */
int state_main(int argc, char **argv);

#endif
