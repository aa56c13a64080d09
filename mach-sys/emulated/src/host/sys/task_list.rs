//! The process's threads, `/proc/self/task`, read without allocation.
#![allow(unsafe_code)]

use super::call::call;

/// Bytes read at a time.
const ROOM: usize = 1024;
/// Offsets in the kernel's `linux_dirent64`: the record's length, and its name.
const LENGTH: usize = 16;
const NAME: usize = 19;

/// Words of a buffer that is aligned as the kernel's records are.
type Records = [u64; ROOM / 8];

/// Calls `see` with the identifier of each thread of this process, as the system lists them. Where there is no `/proc`, with none.
pub(in crate::host) fn each(mut see: impl FnMut(u32)) {
    let path = c"/proc/self/task";
    let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
    let open = [
        libc::AT_FDCWD as usize,
        path.as_ptr() as usize,
        flags,
        0,
        0,
        0,
    ];
    // SAFETY: the path ends with a zero.
    let directory = unsafe { call(libc::SYS_openat, open) };
    let Ok(directory) = usize::try_from(directory) else {
        return;
    };
    let mut records: Records = [0; ROOM / 8];
    loop {
        let at = records.as_mut_ptr() as usize;
        // SAFETY: the kernel writes into the buffer; the directory was opened here.
        let length = unsafe { call(libc::SYS_getdents64, [directory, at, ROOM, 0, 0, 0]) };
        let length = usize::try_from(length).unwrap_or(0).min(ROOM);
        if length == 0 {
            break;
        }
        // SAFETY: the buffer has that many initialised bytes.
        let bytes = unsafe { core::slice::from_raw_parts(records.as_ptr().cast::<u8>(), length) };
        names(bytes, &mut see);
    }
    // SAFETY: the directory was opened here.
    unsafe { call(libc::SYS_close, [directory, 0, 0, 0, 0, 0]) };
}

/// Calls `see` with each name among the records that is a number.
fn names(mut records: &[u8], see: &mut impl FnMut(u32)) {
    while let (Some(low), Some(high)) = (records.get(LENGTH), records.get(LENGTH + 1)) {
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let (Some(record), Some(rest)) = (records.get(..length), records.get(length..)) else {
            return;
        };
        let name = record.get(NAME..).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Some(tid) = core::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse().ok())
        {
            see(tid);
        }
        if length == 0 {
            return;
        }
        records = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::each;
    use crate::host::sys::thread::gettid;

    #[test]
    fn the_calling_thread_and_others_are_listed_once_each() {
        let told = std::path::Path::new("/proc/self/task").exists();
        // More than one portion of the system's answer.
        let (tell, told_ids) = std::sync::mpsc::channel();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let threads: Vec<_> = (0..64)
            .map(|_| {
                let (tell, stop) = (tell.clone(), stop.clone());
                std::thread::spawn(move || {
                    tell.send(gettid()).expect("heard");
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::thread::park();
                    }
                })
            })
            .collect();
        let mut expected: Vec<_> = told_ids.iter().take(64).collect();
        expected.push(gettid());
        let mut seen = Vec::new();
        each(|tid| seen.push(tid));
        for tid in expected {
            let count = seen.iter().filter(|seen| **seen == tid).count();
            assert_eq!(count, usize::from(told), "{tid}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for thread in threads {
            thread.thread().unpark();
            thread.join().expect("it ended");
        }
    }
}
