/* A program whose main thread leaves by pthread_exit while a runtime runs, and whose last thread then ends: the process ends as if the
   runtime had no threads. The arguments say what the main thread and the last one were to the runtime: "stranger", "attached" or
   "started". The status is 7 if something else went wrong. */

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct runtime;
typedef void handler(int, void *, void *);
struct runtime *runtime_start(handler *);
int runtime_attach_until_exit(struct runtime *);
int runtime_spawn(struct runtime *, void (*)(void *), void *);
void runtime_fault(void);
handler runtime_skip;

static struct runtime *runtime;
static const char *worker_is;
static pthread_t main_thread;

static void check(int good, const char *what)
{
    if (good)
        return;
    printf("wrong: %s\n", what);
    fflush(stdout);
    _exit(7);
}

/* Runs on whichever thread calls exit, and may do what other code may. */
static void *nothing(void *unused)
{
    return unused;
}

static void at_exit(void)
{
    pthread_t thread;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    check(!sigismember(&blocked, SIGTERM) && !sigismember(&blocked, SIGUSR1), "the signal mask of exit");
    check(sigismember(&blocked, SIGUSR2), "the starter's mask");
    check(!pthread_create(&thread, NULL, nothing, NULL) && !pthread_join(thread, NULL), "a thread in exit");
    puts("exit");
    fflush(stdout);
}

static void work(void *unused)
{
    (void)unused;
    if (!strcmp(worker_is, "attached"))
        check(!runtime_attach_until_exit(runtime), "the worker was not attached");
    check(!pthread_join(main_thread, NULL), "the main thread was not joined");
    /* The main thread is gone for longer than anything that looks for that takes. */
    for (int i = 0; i < 15; i++) {
        usleep(50000);
        if (strcmp(worker_is, "stranger"))
            runtime_fault();
    }
    puts("the last thread ends");
    fflush(stdout);
}

static void *worker(void *unused)
{
    work(unused);
    return NULL;
}

int main(int count, char **arguments)
{
    check(count == 3, "arguments");
    const char *main_is = arguments[1];
    worker_is = arguments[2];
    main_thread = pthread_self();
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    check(!atexit(at_exit), "atexit");
    runtime = runtime_start(runtime_skip);
    check(runtime != NULL, "the server did not start");
    if (!strcmp(main_is, "attached")) {
        check(!runtime_attach_until_exit(runtime), "the main thread was not attached");
        runtime_fault();
    }
    pthread_t thread;
    if (!strcmp(worker_is, "started"))
        check(!runtime_spawn(runtime, work, NULL), "the worker was not started");
    else
        check(!pthread_create(&thread, NULL, worker, NULL), "no thread");
    pthread_exit(NULL);
}
