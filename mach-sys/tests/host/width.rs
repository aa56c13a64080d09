//! R20: a fault in a 32-bit code segment of this 64-bit process is declined untouched, and reaches the signal fallback.

use crate::isolated::report_skipped;
use crate::support::{install, isolated, on_raw_thread, test_name};
use port_server::Server;
use std::sync::atomic::{AtomicU64, Ordering};

core::arch::global_asm!(
    // `enter32(code, stack, saved)`: a far return to 32-bit code, which comes back through 64-bit code beside it.
    ".globl test_enter32",
    "test_enter32:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "lea rax, [rip + 2f]",
    "push rax",
    "mov [rdx], rsp",
    "mov eax, 0x2b",
    "mov ds, eax",
    "mov es, eax",
    "mov rsp, rsi",
    "sub rsp, 8",
    "mov [rsp], edi",
    "mov dword ptr [rsp + 4], 0x23",
    ".byte 0xcb", // a far return with 32-bit operands
    "2:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
);

unsafe extern "C" {
    fn test_enter32(code: u32, stack: usize, saved: usize);
}

const CODE_32: u64 = 0x23;
const ABSENT: u32 = 0x10;
const LOAD_LENGTH: i64 = 5;

static CALLS: AtomicU64 = AtomicU64::new(0);
static SELECTOR: AtomicU64 = AtomicU64::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);

extern "C" fn previous(_: i32, info: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the kernel's siginfo and context.
    unsafe {
        let registers = &mut (*uc).uc_mcontext.gregs;
        let selectors = registers[libc::REG_CSGSFS as usize] as u64;
        SELECTOR.store(selectors & 0xffff, Ordering::Relaxed);
        ADDRESS.store((*info).si_addr() as u64, Ordering::Relaxed);
        registers[libc::REG_RIP as usize] += LOAD_LENGTH;
    }
}

/// Returns one page of low memory with code at 0, the way back at 64, a word at 128, and a stack at its end.
fn low_page() -> Option<usize> {
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    // SAFETY: a new mapping.
    let page = unsafe { libc::mmap(core::ptr::null_mut(), 8192, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    let base = page as usize;
    let low = |offset: usize| ((base + offset) as u32).to_le_bytes();
    let mut code = vec![0xa1]; // mov eax, [ABSENT]
    code.extend(ABSENT.to_le_bytes());
    code.push(0xea); // jmp 0x33:way back
    code.extend(low(64));
    code.extend([0x33, 0]);
    code.resize(64, 0xcc);
    code.extend([0x48, 0x8b, 0x24, 0x25]); // mov rsp, [saved]
    code.extend(low(128));
    code.push(0xc3); // ret
    // SAFETY: the page is this function's and has room.
    unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), page.cast(), code.len()) };
    Some(base)
}

isolated! {
    fn r20_a_fault_in_32_bit_code_is_declined_untouched() {
        let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        install(libc::SIGSEGV, previous as *const (), flags, &[]);
        let server = Server::start(0, |asked, _, _| {
            *asked += 1;
            true
        });
        server.route_task();
        let Some(page) = low_page() else {
            return report_skipped(test_name!(r20_a_fault_in_32_bit_code_is_declined_untouched), "this system gives no memory below 4 GiB");
        };
        on_raw_thread(move || {
            for _ in 0..10 {
                // SAFETY: the page holds that code; the handler skips the load.
                unsafe { test_enter32(page as u32, page + 8192, page + 128) };
            }
        });
        assert_eq!(server.stop(), 0, "the server received no request");
        assert_eq!(CALLS.load(Ordering::Relaxed), 10);
        assert_eq!(SELECTOR.load(Ordering::Relaxed), CODE_32);
        assert_eq!(ADDRESS.load(Ordering::Relaxed), u64::from(ABSENT));
    }
}
