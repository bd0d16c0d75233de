//! `/v1/sales` and `/v1/signature_checks`: what a gateway of the tenant's tells and asks.

use farthing_billing::service::key::Scope;
use farthing_billing::service::prepaid::{NewSignatureCheck, SignatureCheck};
use farthing_billing::service::usage::{NewSale, Recorded};

use crate::access::Access;
use crate::operation::{Call, Created, Done, Named, Operation};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "sales", access, summary };
    vec![
        Operation::post(
            "/v1/sales",
            named(
                "recordSale",
                Access::key(Scope::Usage),
                "A call was paid over a rail: book it as revenue, once",
            ),
            record,
        ),
        Operation::post(
            "/v1/signature_checks",
            named(
                "checkSignature",
                Access::key(Scope::Holds),
                "Whether a token signed a message, and may spend what is asked",
            ),
            check,
        ),
    ]
}

async fn record(call: Call<Nothing, Nothing, NewSale>) -> Result<Created<Recorded>, Problem> {
    Ok(Created(call.billing.record_sale(&call.cx, &call.body).await?))
}

async fn check(call: Call<Nothing, Nothing, NewSignatureCheck>) -> Result<Done<SignatureCheck>, Problem> {
    Ok(Done(call.billing.check_signature(&call.cx, &call.body).await?))
}
