/* A program whose main is C: Rust's runtime never starts. It attaches its thread to the exception server, stores to address 0, has its
   handler entered with Darwin's three arguments, repairs a register, goes on, and shuts down in order.

   The structures are declared here as Darwin declares them; nothing of the host's headers is used for them. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct darwin_siginfo {
    int32_t si_signo, si_errno, si_code, si_pid;
    uint32_t si_uid;
    int32_t si_status;
    uint64_t si_addr;
    uint64_t si_value;
    int64_t si_band;
    uint64_t pad[7];
};

#if defined(__x86_64__)
struct darwin_mcontext {
    struct {
        uint16_t trapno, cpu;
        uint32_t err;
        uint64_t faultvaddr;
    } es;
    struct {
        uint64_t rax, rbx, rcx, rdx, rdi, rsi, rbp, rsp;
        uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
        uint64_t rip, rflags, cs, fs, gs;
    } ss;
};
#elif defined(__aarch64__)
struct darwin_mcontext {
    struct {
        uint64_t far;
        uint32_t esr, exception;
    } es;
    struct {
        uint64_t x[29], fp, lr, sp, pc;
        uint32_t cpsr, pad;
    } ss;
};
#endif

struct darwin_ucontext {
    int32_t uc_onstack;
    uint32_t uc_sigmask;
    struct {
        uint64_t ss_sp, ss_size;
        int32_t ss_flags;
    } uc_stack;
    uint64_t uc_link;
    uint64_t uc_mcsize;
    struct darwin_mcontext *uc_mcontext;
};

_Static_assert(sizeof(struct darwin_siginfo) == 104, "siginfo_t");
_Static_assert(sizeof(struct darwin_ucontext) == 56, "ucontext_t");

struct runtime;
typedef void handler(int, struct darwin_siginfo *, struct darwin_ucontext *);
struct runtime *runtime_start(handler *);
int runtime_attach(struct runtime *);
int runtime_detach(struct runtime *);
int runtime_stop(struct runtime *);

enum { DARWIN_SIGSEGV = 11 };

static volatile uint64_t target;
static volatile int calls, wrong;

static void on_fault(int signal, struct darwin_siginfo *info, struct darwin_ucontext *context)
{
    calls++;
    if (signal != DARWIN_SIGSEGV || info->si_signo != DARWIN_SIGSEGV || info->si_addr != 0)
        wrong |= 1;
    if (context->uc_mcsize < sizeof(struct darwin_mcontext))
        wrong |= 2;
#if defined(__x86_64__)
    if (context->uc_mcontext->ss.rax != 0 || context->uc_mcontext->ss.rbx != 42 || context->uc_mcontext->es.faultvaddr != 0)
        wrong |= 4;
    context->uc_mcontext->ss.rax = (uint64_t)&target;
#elif defined(__aarch64__)
    if (context->uc_mcontext->ss.x[0] != 0 || context->uc_mcontext->ss.x[1] != 42 || context->uc_mcontext->es.far != 0)
        wrong |= 4;
    context->uc_mcontext->ss.x[0] = (uint64_t)&target;
#endif
}

/* Stores 42 to an address, and checks that registers beside the address are what they were. */
static void store_to_null(void)
{
    uint64_t address = 0, value = 42, other = 0x1234567890abcdef;
#if defined(__x86_64__)
    register uint64_t r12 __asm__("r12") = other;
    __asm__ volatile("movq %%rbx, (%%rax)" : "+a"(address), "+b"(value), "+r"(r12) : : "memory");
    if (r12 != other)
        wrong |= 8;
#elif defined(__aarch64__)
    register uint64_t x0 __asm__("x0") = address;
    register uint64_t x1 __asm__("x1") = value;
    register uint64_t x19 __asm__("x19") = other;
    __asm__ volatile("str x1, [x0]" : "+r"(x0), "+r"(x1), "+r"(x19) : : "memory");
    address = x0;
    value = x1;
    if (x19 != other)
        wrong |= 8;
#endif
    if (address != (uint64_t)&target || value != 42)
        wrong |= 16;
}

int main(void)
{
    struct runtime *runtime = runtime_start(on_fault);
    if (!runtime)
        return puts("the server did not start"), 1;
    for (int round = 0; round < 3; round++) {
        if (runtime_attach(runtime))
            return puts("the thread was not attached"), 1;
        target = 0;
        store_to_null();
        if (target != 42)
            return printf("the store did not arrive: %llu\n", (unsigned long long)target), 1;
        if (runtime_detach(runtime))
            return puts("the thread was not given back as it was"), 1;
    }
    int handled = runtime_stop(runtime);
    if (handled != 3 || calls != 3 || wrong)
        return printf("handled %d, called %d, wrong %#x\n", handled, calls, wrong), 1;
    puts("3 faults handled");
    return 0;
}
