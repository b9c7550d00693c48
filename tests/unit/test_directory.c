/* Where a supervisor lives: which directories follow from which environment, and who holds the
 * lock. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/directory.h"
#include "tests/support/unit.h"

static void clear_environment(void)
{
    unsetenv("SYNK_DIR");
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    setenv("HOME", "/home/ann", 1);
}

static void test_option_puts_everything_in_one_directory(void)
{
    struct directory directory;
    clear_environment();
    setenv("SYNK_DIR", "/elsewhere", 1);
    CU_ASSERT_EQUAL(directory_resolve("/srv/synk//", &directory, NULL), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(directory.state, "/srv/synk");
    CU_ASSERT_STRING_EQUAL(directory.run, "/srv/synk");
    CU_ASSERT_EQUAL(directory_resolve(NULL, &directory, NULL), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(directory.state, "/elsewhere");
    CU_ASSERT_STRING_EQUAL(directory.run, "/elsewhere");
}

static void test_relative_directory_becomes_absolute(void)
{
    struct directory directory;
    char expected[8192], current[4096];
    clear_environment();
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(current, sizeof(current)));
    snprintf(expected, sizeof(expected), "%s/state", strcmp(current, "/") ? current : "");
    CU_ASSERT_EQUAL(directory_resolve("./state", &directory, NULL), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(directory.state, expected);
    CU_ASSERT_EQUAL(directory_resolve(".", &directory, NULL), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(directory.state, current);
}

/* As another user than root, in a child: the effective user decides. */
static int resolve_as_user(const char *state_home, const char *runtime, const char *expected_state,
                           const char *expected_run)
{
    pid_t child = fork();
    if (child == 0) {
        struct directory directory;
        clear_environment();
        if (state_home)
            setenv("XDG_STATE_HOME", state_home, 1);
        if (runtime)
            setenv("XDG_RUNTIME_DIR", runtime, 1);
        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(2);
        if (directory_resolve(NULL, &directory, NULL))
            _exit(3);
        _exit(strcmp(directory.state, expected_state) || strcmp(directory.run, expected_run));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void test_user_directories_follow_xdg(void)
{
    CU_ASSERT_EQUAL(
        resolve_as_user(NULL, NULL, "/home/ann/.local/state/synk", "/home/ann/.local/state/synk"),
        0);
    CU_ASSERT_EQUAL(resolve_as_user("/s", "/r", "/s/synk", "/r/synk"), 0);
    CU_ASSERT_EQUAL(resolve_as_user("relative", "/r", "/home/ann/.local/state/synk", "/r/synk"), 0);
}

static void test_socket_path_limit_names_the_reason(void)
{
    struct directory directory = {0};
    struct synk_error error = {0};
    char address[DIRECTORY_PATH_BYTES];
    /* "/client.sock" has 12 bytes. */
    memset(directory.run, 'd', DIRECTORY_SOCKET_BYTES - 12);
    directory.run[0] = '/';
    CU_ASSERT_EQUAL(directory_address(&directory, DIRECTORY_CLIENTS, address, &error), SYNK_OK);
    CU_ASSERT_EQUAL(strlen(address), DIRECTORY_SOCKET_BYTES + strlen("ipc://"));
    CU_ASSERT_EQUAL(directory_address(&directory, DIRECTORY_EVENTS, address, &error), SYNK_OK);
    directory.run[strlen(directory.run)] = 'd';
    CU_ASSERT_EQUAL(directory_address(&directory, DIRECTORY_CLIENTS, address, &error),
                    SYNK_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "108 bytes"));
}

static void test_overlong_directory_is_refused(void)
{
    struct directory directory;
    char path[DIRECTORY_BYTES + 1];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[DIRECTORY_BYTES] = '\0';
    CU_ASSERT_EQUAL(directory_resolve(path, &directory, NULL), SYNK_INVALID);
}

static struct directory fresh(const char *name)
{
    struct directory directory;
    snprintf(directory.state, sizeof(directory.state), "%s/%s/state", unit_directory(), name);
    snprintf(directory.run, sizeof(directory.run), "%s/%s/run", unit_directory(), name);
    CU_ASSERT_EQUAL_FATAL(directory_create(&directory, NULL), SYNK_OK);
    return directory;
}

static void test_created_directories_are_private(void)
{
    struct directory directory = fresh("private");
    struct stat info;
    CU_ASSERT_EQUAL_FATAL(stat(directory.run, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 07777, 0700);
    chmod(directory.state, 0777);
    struct synk_error error = {0};
    CU_ASSERT_EQUAL(directory_create(&directory, &error), SYNK_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "others"));
}

static void test_lock_is_held_once(void)
{
    struct directory directory = fresh("lock");
    struct synk_error error = {0};
    int first = -1, second = -1;
    int64_t pid = -7;
    CU_ASSERT_FALSE(directory_supervisor_pid(&directory, &pid));
    CU_ASSERT_EQUAL(pid, -7);
    CU_ASSERT_EQUAL_FATAL(directory_lock(&directory, &first, &error), SYNK_OK);
    CU_ASSERT_TRUE(directory_supervisor_pid(&directory, &pid));
    CU_ASSERT_EQUAL(pid, getpid());
    CU_ASSERT_EQUAL(directory_lock(&directory, &second, &error), SYNK_BUSY);
    CU_ASSERT_EQUAL(second, -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "already runs on"));
    close(first);
    CU_ASSERT_FALSE(directory_supervisor_pid(&directory, NULL));
}

static void test_flock_is_seen_too(void)
{
    char path[4096];
    int64_t pid = 0;
    snprintf(path, sizeof(path), "%s/host.lock", unit_directory());
    CU_ASSERT_FALSE(directory_lock_is_held(path, &pid));
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CU_ASSERT_EQUAL_FATAL(write(fd, "4711\n", 5), 5);
    CU_ASSERT_FALSE(directory_lock_is_held(path, &pid));
    CU_ASSERT_EQUAL_FATAL(flock(fd, LOCK_EX), 0);
    CU_ASSERT_TRUE(directory_lock_is_held(path, &pid));
    CU_ASSERT_EQUAL(pid, 4711);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"option puts everything in one directory", test_option_puts_everything_in_one_directory},
        {"relative directory becomes absolute", test_relative_directory_becomes_absolute},
        {"user directories follow XDG", test_user_directories_follow_xdg},
        {"socket path limit names the reason", test_socket_path_limit_names_the_reason},
        {"overlong directory is refused", test_overlong_directory_is_refused},
        {"created directories are private", test_created_directories_are_private},
        {"lock is held once", test_lock_is_held_once},
        {"flock is seen too", test_flock_is_seen_too},
        {0},
    };
    return unit_main(argc, argv, "directory", cases);
}
