//! The fields of a message, one after the other, each with its offset.

/// A field of a message.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) offset: usize,
    pub(crate) size: usize,
    pub(crate) name: String,
    pub(crate) value: String,
    /// Meaning of the value.
    pub(crate) note: String,
}

/// Takes fields from the front of a message.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    offset: usize,
    fields: Vec<Field>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            fields: Vec::new(),
        }
    }

    /// The next four bytes. 0 behind the end, where no field is added.
    pub(crate) fn word(&mut self, name: &str, note: impl FnOnce(u32) -> String) -> u32 {
        let Some(bytes) = self.take::<4>() else {
            return 0;
        };
        let value = u32::from_le_bytes(bytes);
        self.add(4, name, format!("{value:#x}"), note(value));
        value
    }

    /// The next four bytes, a signed number.
    pub(crate) fn number(&mut self, name: &str, note: impl FnOnce(i32) -> String) -> i32 {
        let Some(bytes) = self.take::<4>() else {
            return 0;
        };
        let value = i32::from_le_bytes(bytes);
        self.add(4, name, value.to_string(), note(value));
        value
    }

    /// The next eight bytes.
    pub(crate) fn long(&mut self, name: &str) {
        if let Some(bytes) = self.take::<8>() {
            let value = u64::from_le_bytes(bytes);
            self.add(8, name, format!("{value:#x}"), String::new());
        }
    }

    /// The next bytes, as they are.
    pub(crate) fn bytes<const N: usize>(&mut self, name: &str, note: &str) {
        if let Some(bytes) = self.take::<N>() {
            let value = bytes.map(|byte| format!("{byte:02x}")).join(" ");
            self.add(N, name, value, note.to_owned());
        }
    }

    /// The last one to three bytes of a message whose size is not a multiple of four.
    pub(crate) fn odd(&mut self, name: &str) {
        let bytes = &self.bytes[self.offset..];
        if !bytes.is_empty() {
            let value: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let note = "no whole word".to_owned();
            self.add(bytes.len(), name, value.join(" "), note);
        }
    }

    pub(crate) fn rest(&self) -> usize {
        self.bytes.len() - self.offset
    }

    pub(crate) fn finish(self) -> Vec<Field> {
        self.fields
    }

    fn take<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes
            .get(self.offset..self.offset + N)?
            .try_into()
            .ok()
    }

    fn add(&mut self, size: usize, name: &str, value: String, note: String) {
        self.fields.push(Field {
            offset: self.offset,
            size,
            name: name.to_owned(),
            value,
            note,
        });
        self.offset += size;
    }
}
