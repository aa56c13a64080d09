/* A host that loads a library which contains the crates, uses it, ends it and unloads it. The first argument is the library, the second
   the scenario. With a third one nothing is said of threads and memory, of which a processor's emulator has its own. The host prints "done";
   the status is 7 if something was wrong. */

#define _GNU_SOURCE
#include <dlfcn.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

struct runtime;
typedef void handler(int, void *, void *);

/* The library's functions. */
static void *library;
static struct runtime *(*start)(handler *);
static int (*attach)(struct runtime *);
static int (*attach_until_exit)(struct runtime *);
static int (*detach)(struct runtime *);
static int (*run)(struct runtime *, void (*)(void *), void *);
static int (*stop)(struct runtime *);
static int (*end)(void);
static void (*fault)(void);
static handler *skip;

static const char *path;
static int emulated;

#define CHECK(good) check(good, #good, __LINE__)

static void check(int good, const char *what, int line)
{
    if (good)
        return;
    printf("line %d: not so: %s\n", line, what);
    fflush(stdout);
    _exit(7);
}

static int unload_failed(void)
{
    const char *error = dlerror();
    printf("%s\n", error ? error : "no error");
    return 0;
}

#define FIND(name) CHECK((*(void **)&name = dlsym(library, "runtime_" #name)) || unload_failed())

static void load(void)
{
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library || unload_failed());
    FIND(start);
    FIND(attach);
    FIND(attach_until_exit);
    FIND(detach);
    FIND(run);
    FIND(stop);
    FIND(end);
    FIND(fault);
    FIND(skip);
}

static int lines_of(const char *file, const char *with)
{
    char line[4096];
    int count = 0;
    FILE *lines = fopen(file, "r");
    CHECK(lines != NULL);
    while (fgets(line, sizeof line, lines))
        count += strstr(line, with) != NULL;
    fclose(lines);
    return count;
}

static int is_loaded(void)
{
    return lines_of("/proc/self/maps", strrchr(path, '/')) != 0;
}

static long status(const char *name)
{
    char line[256];
    long value = -1;
    FILE *lines = fopen("/proc/self/status", "r");
    CHECK(lines != NULL);
    while (fgets(line, sizeof line, lines))
        if (!strncmp(line, name, strlen(name)))
            value = atol(line + strlen(name));
    fclose(lines);
    return value;
}

/* The bytes that are allocated, where the C library tells. */
static size_t allocated(void)
{
#ifdef __GLIBC__
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static int keys_left(void)
{
    pthread_key_t keys[2048];
    int count = 0;
    while (count < 2048 && !pthread_key_create(&keys[count], NULL))
        count++;
    for (int i = 0; i < count; i++)
        pthread_key_delete(keys[i]);
    return count;
}

static volatile int own_faults;

/* The host's own handler skips the fault of `null_store`. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    CHECK(signal == SIGSEGV && info->si_addr == (void *)0x20);
    own_faults++;
#if defined(__x86_64__)
    interrupted->uc_mcontext.gregs[REG_RIP] += 2;
#elif defined(__aarch64__)
    interrupted->uc_mcontext.pc += 4;
#endif
}

static void null_store(void)
{
#if defined(__x86_64__)
    __asm__ volatile("movl %%ecx, (%%rax)" : : "a"(0x20L), "c"(1) : "memory");
#elif defined(__aarch64__)
    register uint64_t x0 __asm__("x0") = 0x20;
    __asm__ volatile("str w1, [x0]" : : "r"(x0) : "memory");
#endif
}

static const int five[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };

static void on_other(int signal)
{
    (void)signal;
}

/* Each of the five has another disposition: a handler with three arguments, one with a mask and flags, the default, ignored, once. */
static void arrange(void)
{
    struct sigaction action = { 0 };
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    CHECK(!sigaction(SIGSEGV, &action, NULL));
    action.sa_handler = on_other;
    action.sa_flags = SA_RESTART | SA_NODEFER;
    sigaddset(&action.sa_mask, SIGUSR1);
    CHECK(!sigaction(SIGBUS, &action, NULL));
    action.sa_flags = SA_RESETHAND;
    CHECK(!sigaction(SIGTRAP, &action, NULL));
    CHECK(signal(SIGFPE, SIG_IGN) != SIG_ERR);
}

static struct sigaction arranged[5];

static void note(void)
{
    for (int i = 0; i < 5; i++)
        CHECK(!sigaction(five[i], NULL, &arranged[i]));
}

static void as_noted(void)
{
    for (int i = 0; i < 5; i++) {
        struct sigaction now;
        CHECK(!sigaction(five[i], NULL, &now));
        CHECK(now.sa_sigaction == arranged[i].sa_sigaction);
        CHECK(now.sa_flags == arranged[i].sa_flags);
        for (int other = 1; other < 65; other++)
            CHECK(sigismember(&now.sa_mask, other) == sigismember(&arranged[i].sa_mask, other));
    }
}

/* A thread that was joined may be listed for a moment more. */
static void only_one_thread(void)
{
    for (int tries = 0; status("Threads:") != 1; tries++) {
        CHECK(tries < 10000);
        usleep(1000);
    }
}

static void as_without_a_library(void)
{
    int before = own_faults;
    null_store();
    CHECK(own_faults == before + 1);
    as_noted();
    if (!emulated)
        only_one_thread();
}

static void use(struct runtime *runtime)
{
    CHECK(!attach(runtime));
    fault();
    CHECK(!detach(runtime));
}

static void work(void *unused)
{
    (void)unused;
    fault();
}

/* Loads, uses on this thread and one that the manager starts, ends and unloads. */
static void a_life(void)
{
    load();
    struct runtime *runtime = start(skip);
    CHECK(runtime != NULL);
    use(runtime);
    CHECK(!run(runtime, work, NULL));
    CHECK(stop(runtime) == 2);
    CHECK(!end());
    CHECK(!dlclose(library));
}

static void *other_thread(void *body)
{
    ((void (*)(void))body)();
    return NULL;
}

static void on_another(void (*body)(void))
{
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, other_thread, (void *)body));
    CHECK(!pthread_join(thread, NULL));
}

static void loaded_and_unloaded(void)
{
    CHECK(!is_loaded());
    a_life();
    CHECK(!is_loaded());
    as_without_a_library();
    on_another(a_life);
    CHECK(!is_loaded());
    as_without_a_library();
}

static void many_lives(void)
{
    enum { FIRST = 3 };
    const int LIVES = emulated ? 30 : 100;
    for (int i = 0; i < FIRST; i++)
        a_life();
    int keys = keys_left();
    int mappings = lines_of("/proc/self/maps", "");
    long memory = status("VmRSS:"), space = status("VmSize:");
    size_t heap = allocated();
    for (int i = 0; i < LIVES; i++)
        a_life();
    CHECK(!is_loaded());
    /* Rust's own library makes one each time that it is loaded and starts a thread, and has no end. The crates' would be two more. */
    CHECK(keys_left() >= keys - LIVES);
    CHECK(emulated || lines_of("/proc/self/maps", "") <= mappings);
    CHECK(emulated || status("VmSize:") <= space);
    CHECK(emulated || status("VmRSS:") < memory + 512);
    /* What the allocator and the dynamic linker keep for themselves does not grow with the lives. */
    CHECK(allocated() < heap + 16384);
    as_without_a_library();
}

static volatile int others_end;

static void *other_library(void *unused)
{
    while (!others_end) {
        void *other = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
        if (other)
            dlclose(other);
    }
    return unused;
}

/* The loader's locks are taken in its own order: the start looks the library up while another thread loads and unloads one. */
static void while_others_load(void)
{
    enum { LIVES = 30 };
    pthread_t other;
    CHECK(!pthread_create(&other, NULL, other_library, NULL));
    for (int i = 0; i < LIVES; i++)
        a_life();
    others_end = 1;
    pthread_join(other, NULL);
    CHECK(!is_loaded());
    as_without_a_library();
}

static pthread_barrier_t attached, unloaded;
static struct runtime *kept;

static void *attached_thread(void *unused)
{
    CHECK(!attach_until_exit(kept));
    fault();
    pthread_barrier_wait(&attached);
    pthread_barrier_wait(&unloaded);
    fault();
    return unused;
}

/* Unloaded under an attached thread, the library stays, and the thread ends as it should. */
static void attached_while_unloaded(void)
{
    pthread_t thread;
    load();
    kept = start(skip);
    pthread_barrier_init(&attached, NULL, 2);
    pthread_barrier_init(&unloaded, NULL, 2);
    CHECK(!pthread_create(&thread, NULL, attached_thread, NULL));
    pthread_barrier_wait(&attached);
    CHECK(end() == -0x2203);
    CHECK(!dlclose(library));
    CHECK(is_loaded());
    pthread_barrier_wait(&unloaded);
    CHECK(!pthread_join(thread, NULL));
    CHECK(is_loaded());
    use(kept);
    null_store();
    CHECK(own_faults == 1);
}

static struct sigaction before_late;
static volatile int late_faults;

static void on_late(int signal, siginfo_t *info, void *context)
{
    late_faults++;
    before_late.sa_sigaction(signal, info, context);
}

/* A handler that was installed over the library's chains to it. The library stays, and hands on. */
static void displaced(void)
{
    struct sigaction late = { 0 };
    load();
    struct runtime *runtime = start(skip);
    use(runtime);
    late.sa_sigaction = on_late;
    late.sa_flags = SA_SIGINFO | SA_ONSTACK;
    CHECK(!sigaction(SIGSEGV, &late, &before_late));
    use(runtime);
    /* The handler's return may trap, too. */
    CHECK(late_faults >= 1);
    CHECK(stop(runtime) == 2);
    CHECK(end() == 1);
    CHECK(!dlclose(library));
    CHECK(is_loaded());
    late_faults = 0;
    null_store();
    CHECK(late_faults == 1 && own_faults == 1);
    /* And once more. */
    load();
    runtime = start(skip);
    use(runtime);
    late_faults = 0;
    null_store();
    CHECK(late_faults == 1 && own_faults == 2);
    CHECK(stop(runtime) == 1);
    CHECK(end() == 1);
    null_store();
    CHECK(late_faults == 2 && own_faults == 3);
}

/* A thread that once was attached lives on. */
static void *once_attached(void *unused)
{
    use(kept);
    pthread_barrier_wait(&attached);
    pthread_barrier_wait(&unloaded);
    null_store();
    return unused;
}

static void threads_live_on(void)
{
    pthread_t thread;
    load();
    kept = start(skip);
    pthread_barrier_init(&attached, NULL, 2);
    pthread_barrier_init(&unloaded, NULL, 2);
    CHECK(!pthread_create(&thread, NULL, once_attached, NULL));
    pthread_barrier_wait(&attached);
    /* Its port has a name as long as it lives. */
    CHECK(stop(kept) == -1);
    CHECK(!end());
    CHECK(!dlclose(library));
    CHECK(!is_loaded());
    pthread_barrier_wait(&unloaded);
    CHECK(!pthread_join(thread, NULL));
    CHECK(own_faults == 1);
    as_without_a_library();
}

/* A child of a fork after the library went. */
static void forked_afterwards(void)
{
    a_life();
    pid_t child = fork();
    if (child == 0) {
        null_store();
        a_life();
        _exit(own_faults == 1 ? 0 : 1);
    }
    int ended;
    CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    { "loaded_and_unloaded", loaded_and_unloaded },
    { "many_lives", many_lives },
    { "while_others_load", while_others_load },
    { "attached_while_unloaded", attached_while_unloaded },
    { "displaced", displaced },
    { "threads_live_on", threads_live_on },
    { "forked_afterwards", forked_afterwards },
};

int main(int count, char **arguments)
{
    CHECK(count == 3 || count == 4);
    path = arguments[1];
    emulated = count == 4;
    arrange();
    note();
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (!strcmp(arguments[2], scenarios[i].name)) {
            scenarios[i].run();
            puts("done");
            return 0;
        }
    CHECK(0);
}
