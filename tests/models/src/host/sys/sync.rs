//! The checker's atomics. loom takes `SeqCst` for `AcqRel`; here a fence stands before and behind each such access, which gives it the one order
//! that the protocols rely on.

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic::Ordering;
use loom::sync::atomic::fence;

fn ordered<T>(orders: &[Ordering], access: impl FnOnce() -> T) -> T {
    let in_one_order = orders.contains(&Ordering::SeqCst);
    if in_one_order {
        fence(Ordering::SeqCst);
    }
    let outcome = access();
    if in_one_order {
        fence(Ordering::SeqCst);
    }
    outcome
}

macro_rules! atomic {
    ($($name:ident $value:ty;)*) => {$(
        #[derive(Debug)]
        pub(crate) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                ordered(&[order], || self.0.load(order))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                ordered(&[order], || self.0.store(value, order));
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                ordered(&[order], || self.0.swap(value, order))
            }

            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                ordered(&[order], || self.0.fetch_add(value, order))
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                ordered(&[order], || self.0.fetch_sub(value, order))
            }

            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                ordered(&[success, failure], || self.0.compare_exchange(from, to, success, failure))
            }
        }
    )*};
}

atomic! {
    AtomicU32 u32;
    AtomicU64 u64;
    AtomicUsize usize;
}
