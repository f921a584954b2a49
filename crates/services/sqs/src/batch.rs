//! Batches: what fails a whole batch before any entry is looked at.
//!
//! Invariant: after [`check_ids`] a batch has 1 to 10 entries with distinct, well-formed ids; whatever else is wrong
//! with an entry fails that entry alone.

use wire::ApiError;

use crate::errors;
use crate::limits::{BATCH_ENTRIES_MAX, BATCH_ENTRY_ID_MAX, MESSAGE_BYTES_MAX};
use crate::queue_name::is_plain;

/// Checks the ids of a batch; `entry` is the name of the entry's shape, for the sentence about an empty batch.
pub(crate) fn check_ids<'a, I>(ids: I, entry: &str) -> Result<(), ApiError>
where
    I: ExactSizeIterator<Item = &'a str>,
{
    let count = ids.len();
    if count == 0 {
        return Err(errors::empty_batch_request(entry));
    }
    if count > BATCH_ENTRIES_MAX {
        return Err(errors::too_many_entries_in_batch_request(count));
    }
    let mut seen = [""; BATCH_ENTRIES_MAX];
    for (index, id) in ids.enumerate() {
        if id.is_empty() || id.len() > BATCH_ENTRY_ID_MAX || !is_plain(id) {
            return Err(errors::invalid_batch_entry_id());
        }
        if seen[..index].contains(&id) {
            return Err(errors::batch_entry_ids_not_distinct(id));
        }
        seen[index] = id;
    }
    Ok(())
}

/// Checks the length of all messages of a batch together, user attributes included.
pub(crate) fn check_total(bytes: usize) -> Result<(), ApiError> {
    if bytes > MESSAGE_BYTES_MAX { Err(errors::batch_request_too_long(bytes)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "SendMessageBatchRequestEntry";

    fn check(ids: &[&str]) -> Result<(), ApiError> {
        check_ids(ids.iter().copied(), ENTRY)
    }

    #[test]
    fn a_batch_has_one_to_ten_entries() {
        let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(check(&ids[..1]), Ok(()));
        assert_eq!(check(&ids[..10]), Ok(()));
        let empty = check(&[]).unwrap_err();
        assert_eq!(empty.query_code.as_deref(), Some("AWS.SimpleQueueService.EmptyBatchRequest"));
        assert_eq!(empty.message, "There should be at least one SendMessageBatchRequestEntry in the request.");
        let many = check(&ids).unwrap_err();
        assert_eq!(many.code, "TooManyEntriesInBatchRequest");
        assert_eq!(many.message, "Maximum number of entries per request are 10. You have sent 20.");
    }

    #[test]
    fn ids_are_distinct() {
        let twice = check(&["a", "b", "a"]).unwrap_err();
        assert_eq!(twice.query_code.as_deref(), Some("AWS.SimpleQueueService.BatchEntryIdsNotDistinct"));
        assert_eq!(twice.message, "Id a repeated.");
        assert_eq!(check(&["a", "A"]), Ok(()));
    }

    #[test]
    fn ids_have_1_to_80_plain_characters() {
        assert_eq!(check(&["a-b_C9", &"i".repeat(80)]), Ok(()));
        for bad in ["", "invalid:id", "a.b", &"i".repeat(81)] {
            let error = check(&[bad]).unwrap_err();
            assert_eq!(error.query_code.as_deref(), Some("AWS.SimpleQueueService.InvalidBatchEntryId"), "{bad}");
        }
    }

    #[test]
    fn a_batch_of_1_mib_passes_and_one_byte_more_does_not() {
        assert_eq!(check_total(1_048_576), Ok(()));
        let error = check_total(1_048_577).unwrap_err();
        assert_eq!(error.message, "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.");
    }
}
