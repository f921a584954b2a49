//! Deleting parameters.
//!
//! Invariant: a parameter goes with all its versions and tags, and its name begins again at version 1.

use ::api::Call;
use ::api::ssm::*;
use store::{Scan, Transaction};
use wire::ApiError;

use crate::errors::{self, Refusal};
use crate::names::{self, Wanted};
use crate::rows::{PARAMETERS, Place, VERSIONS};
use crate::service::{Ssm, place_of};

impl Ssm {
    pub(crate) async fn delete(
        &self,
        call: &Call,
        input: DeleteParameterInput,
    ) -> Result<DeleteParameterOutput, ApiError> {
        let place = place_of(call)?;
        let wanted = names::wanted(&place, &input.name)?;
        self.write(move |tx| match forget(tx, &place, &wanted)? {
            true => Ok(DeleteParameterOutput::default()),
            false => Err(errors::not_found(&wanted.asked).into()),
        })
        .await
    }

    pub(crate) async fn delete_several(
        &self,
        call: &Call,
        input: DeleteParametersInput,
    ) -> Result<DeleteParametersOutput, ApiError> {
        let place = place_of(call)?;
        self.write(move |tx| {
            let mut output = DeleteParametersOutput::default();
            for name in input.names {
                let gone = match names::wanted(&place, &name) {
                    Ok(wanted) => forget(tx, &place, &wanted)?,
                    Err(_) => false,
                };
                if gone { output.deleted_parameters.push(name) } else { output.invalid_parameters.push(name) }
            }
            Ok(output)
        })
        .await
    }
}

/// Deletes a parameter; whether there was one. A version alone cannot be deleted.
fn forget(tx: &mut Transaction<'_>, place: &Place, wanted: &Wanted) -> Result<bool, Refusal> {
    if wanted.selector.is_some() {
        return Ok(false);
    }
    let key = place.key(&wanted.path);
    tx.delete_range(&VERSIONS, &Scan::prefix(&format!("{key}\0")))?;
    Ok(tx.delete(&PARAMETERS, &key)?)
}
