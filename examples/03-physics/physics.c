/*
 * The plugin `physics`: bodies that attract each other, in three steps that are workers of one
 * sequential process. setup computes where they start, integrate moves them, and check compares two
 * integrations. Each step finds the results of the earlier ones in its inputs.
 *
 * Units: astronomical units, years, solar masses; in these the constant of gravity is 4 pi^2.
 */
#include <math.h>
#include <stdlib.h>

#include <synk/worker.h>

#define BODIES_MAX 16
#define PI         3.14159265358979323846
#define GRAVITY    (4 * PI * PI)
/* How often an integration reports and looks whether it is to end. */
#define STEPS_PER_REPORT 4096

struct body {
    const char *name;
    double mass, x, y, vx, vy;
    double turned; /* around the first body, radians */
};

struct system {
    struct body bodies[BODIES_MAX];
    size_t count;
};

static double energy(const struct system *system)
{
    double sum = 0;
    for (size_t i = 0; i < system->count; i++) {
        const struct body *a = &system->bodies[i];
        sum += a->mass * (a->vx * a->vx + a->vy * a->vy) / 2;
        for (size_t j = 0; j < i; j++) {
            const struct body *b = &system->bodies[j];
            sum -= GRAVITY * a->mass * b->mass / hypot(a->x - b->x, a->y - b->y);
        }
    }
    return sum;
}

/* Adds to the velocities what gravity makes of them in `time` years. */
static void kick(struct system *system, double time)
{
    for (size_t i = 0; i < system->count; i++)
        for (size_t j = 0; j < system->count; j++) {
            if (i == j)
                continue;
            struct body *a = &system->bodies[i];
            const struct body *b = &system->bodies[j];
            double dx = b->x - a->x, dy = b->y - a->y;
            double r = hypot(dx, dy), pull = GRAVITY * b->mass / (r * r * r);
            a->vx += pull * dx * time;
            a->vy += pull * dy * time;
        }
}

static void drift(struct system *system, double time)
{
    const struct body *sun = &system->bodies[0];
    for (size_t i = 0; i < system->count; i++) {
        struct body *body = &system->bodies[i];
        double x = body->x - sun->x, y = body->y - sun->y;
        double vx = body->vx - sun->vx, vy = body->vy - sun->vy;
        if (i)
            body->turned += (x * vy - y * vx) / (x * x + y * y) * time;
    }
    for (size_t i = 0; i < system->count; i++) {
        system->bodies[i].x += system->bodies[i].vx * time;
        system->bodies[i].y += system->bodies[i].vy * time;
    }
}

static void put(struct synk_builder *result, const char *name, double value)
{
    synk_builder_string(result, name);
    synk_builder_double(result, value);
}

/* payload: {bodies: [{name, mass, distance}]}; the first one is at rest, the others circle it. */
static int setup(struct synk_task *task)
{
    const struct synk_value *list = synk_value_get(synk_task_payload(task), "bodies");
    struct system system = {.count = synk_value_count(list)};
    if (system.count < 2 || system.count > BODIES_MAX)
        return synk_task_fail(task, "payload.bodies: 2 to %d are needed", BODIES_MAX);
    for (size_t i = 0; i < system.count; i++) {
        const struct synk_value *item = synk_value_at(list, i);
        struct body *body = &system.bodies[i];
        body->name = synk_task_string(task, synk_value_get(item, "name"), "?");
        body->mass = synk_value_double(synk_value_get(item, "mass"), 0);
        body->x = synk_value_double(synk_value_get(item, "distance"), 0);
        if (body->mass <= 0 || (i && body->x <= 0))
            return synk_task_fail(task, "%s: mass and distance must be above 0", body->name);
        body->vy = i ? sqrt(GRAVITY * system.bodies[0].mass / body->x) : 0;
    }
    struct synk_builder *result = synk_task_result(task);
    synk_builder_begin_map(result);
    put(result, "energy", energy(&system));
    synk_builder_string(result, "bodies");
    synk_builder_begin_array(result);
    for (size_t i = 0; i < system.count; i++) {
        const struct body *body = &system.bodies[i];
        synk_builder_begin_map(result);
        synk_builder_string(result, "name");
        synk_builder_string(result, body->name);
        put(result, "mass", body->mass);
        put(result, "x", body->x);
        put(result, "vy", body->vy);
        synk_builder_end(result);
    }
    synk_builder_end(result);
    synk_builder_end(result);
    return 0;
}

static int take_system(struct synk_task *task, struct system *ret_system)
{
    const struct synk_value *list = synk_value_path(synk_task_inputs(task), "Setup/bodies");
    ret_system->count = synk_value_count(list);
    if (ret_system->count < 2 || ret_system->count > BODIES_MAX)
        return synk_task_fail(task, "inputs.Setup.bodies: 2 to %d are needed", BODIES_MAX);
    for (size_t i = 0; i < ret_system->count; i++) {
        const struct synk_value *item = synk_value_at(list, i);
        ret_system->bodies[i] = (struct body){
            .name = synk_task_string(task, synk_value_get(item, "name"), "?"),
            .mass = synk_value_double(synk_value_get(item, "mass"), 0),
            .x = synk_value_double(synk_value_get(item, "x"), 0),
            .vy = synk_value_double(synk_value_get(item, "vy"), 0),
        };
    }
    return 0;
}

/* payload: {days, years}: the length of a step, and of the whole. The method ("leapfrog") is of
 * second order: half the step, a quarter of the error. */
static int integrate(struct synk_task *task)
{
    const struct synk_value *payload = synk_task_payload(task);
    double step = synk_value_double(synk_value_get(payload, "days"), 0) / 365.25;
    double years = synk_value_double(synk_value_get(payload, "years"), 0);
    struct system system;
    if (step <= 0 || years <= 0)
        return synk_task_fail(task, "payload.days and payload.years must be above 0");
    if (take_system(task, &system) != 0)
        return -1;
    double before = energy(&system), worst = 0;
    int64_t steps = (int64_t)ceil(years / step);
    for (int64_t i = 0; i < steps; i++) {
        kick(&system, step / 2);
        drift(&system, step);
        kick(&system, step / 2);
        worst = fmax(worst, fabs(energy(&system) / before - 1));
        if (i % STEPS_PER_REPORT == 0) {
            if (synk_task_cancelled(task))
                return synk_task_fail(task, "ended at step %ld of %ld", (long)i, (long)steps);
            synk_task_progress(task, (double)i / (double)steps);
        }
    }
    struct synk_builder *result = synk_task_result(task);
    synk_builder_begin_map(result);
    synk_builder_string(result, "steps");
    synk_builder_int(result, steps);
    put(result, "energyError", worst);
    for (size_t i = 1; i < system.count; i++) {
        double times = system.bodies[i].turned / (2 * PI), year = (double)steps * step / times;
        put(result, system.bodies[i].name, year);
        synk_task_log(task, "%-8s went %6.2f times around: its year lasts %.3f of ours",
                      system.bodies[i].name, times, year);
    }
    synk_builder_end(result);
    return 0;
}

/* Fails unless half the step left a quarter of the error: then the physics is right. */
static int check(struct synk_task *task)
{
    const struct synk_value *inputs = synk_task_inputs(task);
    double coarse = synk_value_double(synk_value_path(inputs, "Coarse/energyError"), 0);
    double fine = synk_value_double(synk_value_path(inputs, "Fine/energyError"), 0);
    double ratio = fine > 0 ? coarse / fine : 0;
    synk_task_log(task, "energy off by %.2e and %.2e at most: ratio %.2f", coarse, fine, ratio);
    if (fabs(ratio - 4) > 0.2)
        return synk_task_fail(task, "half the step changed the error by %.2f, not by 4", ratio);
    synk_builder_map(synk_task_result(task), 1);
    put(synk_task_result(task), "ratio", ratio);
    return 0;
}

SYNK_PLUGIN("physics", {"setup", setup}, {"integrate", integrate}, {"check", check})
