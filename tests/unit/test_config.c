/* synkd's command line. */
#include <stdlib.h>
#include <string.h>

#include "supervisor/shell/config.h"
#include "tests/support/unit.h"

static void test_keep_reads_ages_and_counts(void)
{
    static const struct {
        const char *text;
        int64_t age_ms;
        uint64_t count;
    } rows[] = {
        {"0", 0, 0},
        {"1000", 0, 1000},
        {"90s", 90000, 0},
        {"250ms", 250, 0},
        {"5m", 300000, 0},
        {"2h", 7200000, 0},
        {"30d", 2592000000, 0},
        {"2w,500", 1209600000, 500},
        {"500,2w", 1209600000, 500},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct keep keep = {-1, 77};
        CU_ASSERT_EQUAL(keep_parse(rows[i].text, &keep, NULL), SYNK_OK);
        CU_ASSERT_EQUAL(keep.age_ms, rows[i].age_ms);
        CU_ASSERT_EQUAL(keep.count, rows[i].count);
    }
    static const char *const wrong[] = {"",    "d",   "-1", "3q",
                                        "3 d", "1d,", ",1", "9999999999999999999"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct keep keep = {-1, 77};
        CU_ASSERT_EQUAL(keep_parse(wrong[i], &keep, NULL), SYNK_INVALID);
        CU_ASSERT_EQUAL(keep.count, 77);
    }
}

static enum synk_status parse(struct config *config, enum config_action *action, const char *a,
                              const char *b, struct synk_error *error)
{
    char *argv[] = {(char *)"synkd", (char *)a, (char *)b, NULL};
    *config = (struct config){0};
    return config_parse(config, 1 + (a != NULL) + (b != NULL), argv, action, error);
}

static void test_defaults_come_from_the_directory(void)
{
    struct config config;
    enum config_action action;
    CU_ASSERT_EQUAL_FATAL(parse(&config, &action, "--dir", "/srv/s", NULL), SYNK_OK);
    CU_ASSERT_EQUAL(action, CONFIG_RUN);
    CU_ASSERT_STRING_EQUAL(config.state, "sqlite:/srv/s/state.db");
    CU_ASSERT_EQUAL(config.ready_fd, -1);
    CU_ASSERT_TRUE(config.slots > 0);
    CU_ASSERT_FALSE(config.is_private);
    config_fini(&config);
    CU_ASSERT_EQUAL(parse(&config, &action, "--help", NULL, NULL), SYNK_OK);
    CU_ASSERT_EQUAL(action, CONFIG_HELP);
    config_fini(&config);
}

static void test_the_watcher_is_configured(void)
{
    struct config config;
    enum config_action action;
    CU_ASSERT_EQUAL(parse(&config, &action, "--watch-interval=90s", "--auto-release", NULL),
                    SYNK_OK);
    CU_ASSERT_EQUAL(config.watch_interval_ms, 90000);
    CU_ASSERT_TRUE(config.auto_release && !config.auto_unpause && !config.no_schedule);
    config_fini(&config);
    CU_ASSERT_EQUAL(parse(&config, &action, "--idle-threshold=5m", "--auto-unpause", NULL),
                    SYNK_OK);
    CU_ASSERT_EQUAL(config.idle_threshold_ms, 300000);
    CU_ASSERT_TRUE(config.auto_unpause && !config.auto_release);
    config_fini(&config);
    CU_ASSERT_EQUAL(parse(&config, &action, "--stats-interval=0", "--no-schedule", NULL), SYNK_OK);
    CU_ASSERT_EQUAL(config.stats_interval_ms, 0);
    CU_ASSERT_TRUE(config.no_schedule);
    config_fini(&config);
}

static void test_wrong_usage_is_named(void)
{
    static const struct {
        const char *a, *b, *text;
    } rows[] = {
        {"--nope", NULL, "unknown option '--nope'"}, {"--dir", NULL, "--dir needs a value"},
        {"--slots", "-1", "--slots takes a number"}, {"--slots", "1025", "to 1024"},
        {"--keep-runs", "3q", "--keep-runs: '3q'"},  {"here", NULL, "unexpected argument 'here'"},
        {"--ready-fd", "99999", "--ready-fd 99999"},
        {"--watch-interval", "soon", "--watch-interval takes a time"},
        {"--stats-interval", "-1", "--stats-interval takes a time"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config config;
        enum config_action action;
        struct synk_error error = {0};
        CU_ASSERT_EQUAL(parse(&config, &action, rows[i].a, rows[i].b, &error), SYNK_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, rows[i].text));
        config_fini(&config);
    }
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"keep reads ages and counts", test_keep_reads_ages_and_counts},
        {"defaults come from the directory", test_defaults_come_from_the_directory},
        {"the watcher is configured", test_the_watcher_is_configured},
        {"wrong usage is named", test_wrong_usage_is_named},
        {0},
    };
    setenv("HOME", "/home/ann", 1);
    return unit_main(argc, argv, "config", cases);
}
