//! Files of text, line by line: read piece by piece, without allocation.
#![allow(unsafe_code)]

use super::call::call;
use core::ffi::CStr;

/// Bytes of a line's start that are shown; what follows is left out.
pub(super) const LINE: usize = 112;

/// Shows the start of each line of a file, until `visit` returns `false`. `None` if it cannot be read, or not to its end.
pub(super) fn each(path: &CStr, visit: impl FnMut(&[u8]) -> bool) -> Option<()> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let open = [
        libc::AT_FDCWD as usize,
        path.as_ptr() as usize,
        flags,
        0,
        0,
        0,
    ];
    // SAFETY: the path ends with a zero.
    let file = usize::try_from(unsafe { call(libc::SYS_openat, open) }).ok()?;
    let read = read(file, visit);
    // SAFETY: opened here, and used by nothing else.
    unsafe { call(libc::SYS_close, [file, 0, 0, 0, 0, 0]) };
    read
}

fn read(file: usize, mut visit: impl FnMut(&[u8]) -> bool) -> Option<()> {
    let mut chunk = [0_u8; 1024];
    let mut line = [0_u8; LINE];
    let mut length = 0;
    loop {
        let at = chunk.as_mut_ptr() as usize;
        // SAFETY: the kernel writes into the chunk.
        let read = unsafe { call(libc::SYS_read, [file, at, chunk.len(), 0, 0, 0]) };
        let read = match usize::try_from(read) {
            Ok(0) => return Some(()),
            Ok(read) => read,
            Err(_) if read == -(libc::EINTR as isize) => continue,
            Err(_) => return None,
        };
        let mut rest = &chunk[..read];
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            let kept = part.len().min(LINE - length);
            line[length..length + kept].copy_from_slice(&part[..kept]);
            length += kept;
            rest = match after.split_first() {
                Some((_, after)) => after,
                // The line goes on in the next chunk.
                None => break,
            };
            let whole = &line[..length];
            length = 0;
            if !visit(whole) {
                return Some(());
            }
        }
    }
}

/// Returns the number after a name at the start of a line, such as `Rss:   12 kB` or `pgfault 7`; `None` for another line.
pub(super) fn number_after(line: &[u8], name: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(name)?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_its_name() {
        assert_eq!(number_after(b"Rss:     12 kB", b"Rss:"), Some(12));
        assert_eq!(number_after(b"pgfault 7", b"pgfault "), Some(7));
        assert_eq!(number_after(b"pgfault x", b"pgfault "), None);
        assert_eq!(number_after(b"pgfaults 7", b"pgfault "), None);
        assert_eq!(number_after(b"", b"Rss:"), None);
    }

    #[test]
    fn a_file_that_is_not_there_has_no_lines() {
        assert_eq!(each(c"/proc/self/no such file", |_| true), None);
        let mut lines = 0;
        assert_eq!(
            each(c"/proc/self/status", |line| {
                lines += 1;
                !line.starts_with(b"State:")
            }),
            Some(())
        );
        assert!(lines > 1);
    }
}
