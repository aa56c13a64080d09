//! The process's `/proc/self/status`, read without allocation.

use super::proc_file::read_file;

/// Returns whether a tracer follows the process; `None` if the system does not say.
pub(crate) fn is_traced() -> Option<bool> {
    let mut path = [0; 64];
    let name = b"/proc/self/status";
    path[..name.len()].copy_from_slice(name);
    // The line is among the first ten.
    let mut text = [0; 1024];
    let length = read_file(&path, &mut text);
    parse(text.get(..length)?)
}

fn parse(status: &[u8]) -> Option<bool> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let tracer = lines.find_map(|line| line.strip_prefix(b"TracerPid:"))?;
    Some(tracer.trim_ascii() != b"0")
}

#[cfg(test)]
mod tests {
    use super::{is_traced, parse};

    #[test]
    fn the_tracer_decides() {
        let status =
            |tracer: &str| format!("Name:\tTracerPid:\nPid:\t7\nTracerPid:\t{tracer}\nUid:\t0\n");
        assert_eq!(parse(status("0").as_bytes()), Some(false));
        assert_eq!(parse(status("4711").as_bytes()), Some(true));
        assert_eq!(parse(b"Name:\tx\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn this_process_is_asked_about() {
        assert_eq!(
            is_traced().is_some(),
            std::path::Path::new("/proc/self/status").exists()
        );
    }
}
