//! W3C trace context: what a `traceparent` says, and what is sent on.
//!
//! Pure; knows nothing of NGINX.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub sampled: bool,
}

impl TraceContext {
    /// The context of a new span: in its parent's trace, or in a new one where there is no parent.
    pub fn child_of(parent: &TraceContext) -> Self {
        let trace_id = if is_valid(&parent.trace_id) { parent.trace_id } else { fastrand::u128(1..).to_be_bytes() };
        TraceContext { trace_id, span_id: fastrand::u64(1..).to_be_bytes(), sampled: false }
    }

    /// Reads a `traceparent`. As the official module does, it takes version 00 only, hexadecimal digits of
    /// either case, and ignores further fields.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let mut fields = header.splitn(5, |byte| *byte == b'-');
        let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        if version != b"00" {
            return None;
        }
        let [flags] = from_hex::<1>(flags)?;
        Some(TraceContext { trace_id: from_hex(trace_id)?, span_id: from_hex(span_id)?, sampled: flags & 1 == 1 })
    }

    /// The `traceparent` that names this span as the parent.
    pub fn traceparent(&self) -> String {
        let flags = if self.sampled { "01" } else { "00" };
        format!("00-{}-{}-{flags}", to_hex(&self.trace_id), to_hex(&self.span_id))
    }
}

/// An identifier of zeros stands for none.
pub fn is_valid(identifier: &[u8]) -> bool {
    identifier.iter().any(|byte| *byte != 0)
}

pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

fn from_hex<const LENGTH: usize>(digits: &[u8]) -> Option<[u8; LENGTH]> {
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        let context = TraceContext::parse(HEADER).unwrap();
        assert!(context.sampled);
        assert_eq!(context.traceparent().as_bytes(), HEADER);
    }

    #[test]
    fn upper_case_and_further_fields_are_taken() {
        let mut header = HEADER.to_ascii_uppercase();
        header.extend_from_slice(b"-later");
        assert_eq!(TraceContext::parse(&header), TraceContext::parse(HEADER));
    }

    #[test]
    fn other_versions_lengths_and_digits_are_not_taken() {
        for header in [
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "",
        ] {
            assert_eq!(TraceContext::parse(header.as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn a_child_is_in_its_parent_s_trace_and_an_orphan_in_a_new_one() {
        let parent = TraceContext::parse(HEADER).unwrap();
        let child = TraceContext::child_of(&parent);
        assert_eq!(child.trace_id, parent.trace_id);
        assert_ne!(child.span_id, parent.span_id);
        let orphan = TraceContext::child_of(&TraceContext::default());
        assert!(is_valid(&orphan.trace_id) && is_valid(&orphan.span_id));
    }
}
