//! The exit code of a program, its output, and the file of its picture.

use core::fmt::Arguments;
use std::error::Error;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints a line to standard output, as `println!` does. If it cannot be written (a full disk, a reader that has gone), the program
/// ends with the reason and exit code 1, and does not panic.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::program::write_line(::core::format_args!($($text)*)) };
}

/// Prints a line, for [`say!`](crate::say).
pub fn write_line(text: Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        let program = std::env::args_os().next().map(PathBuf::from);
        let name = program.as_deref().and_then(Path::file_name);
        let name = name.map_or(OsString::new(), OsString::from);
        let _ = writeln!(
            io::stderr(),
            "{}: standard output: {error}",
            name.to_string_lossy()
        );
        std::process::exit(1);
    }
}

/// Returns success for `Ok(true)`. Prints an error with its sources.
#[must_use]
pub fn exit_code(name: &str, result: Result<bool, Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut text = format!("{name}: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            // There is no other place to say that it could not be written.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

/// The file of a picture.
#[derive(Debug)]
pub struct Picture {
    path: PathBuf,
    file: File,
}

impl Picture {
    /// Opens the file, or makes an empty one, before the work that the picture is of: a path that cannot be written is known at once.
    /// What was in the file stays until [`write`](Self::write).
    ///
    /// # Errors
    /// The path, and the system's error.
    pub fn create(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| in_file(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes the picture, whole or not at all.
    ///
    /// # Errors
    /// The path, and the system's error. The file is then empty.
    pub fn write(mut self, svg: &str) -> Result<(), Box<dyn Error>> {
        // A pipe or a terminal has no length.
        let has_length = self
            .file
            .metadata()
            .is_ok_and(|metadata| metadata.is_file());
        let empty = |file: &File| if has_length { file.set_len(0) } else { Ok(()) };
        let written = empty(&self.file).and_then(|()| self.file.write_all(svg.as_bytes()));
        written.map_err(|error| {
            let _ = empty(&self.file);
            in_file(&self.path, &error).into()
        })
    }
}

fn in_file(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
