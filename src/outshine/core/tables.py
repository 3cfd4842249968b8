"""Tables in artefacts, read as what damage or a stranger may have made of them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from outshine.core.errors import StoreError
from outshine.core.reading import ODD

if TYPE_CHECKING:
    import pandas as pd

    from outshine.core.store import Store


def read_table(store: Store, key: str, name: str) -> pd.DataFrame:
    """A Parquet file of a finished artefact. Raises StoreError where it is missing, damaged or no such file."""
    import pandas as pd

    content = store.read(key, name)
    try:
        return pd.read_parquet(BytesIO(content))
    except (OSError, NotImplementedError, *ODD) as error:  # pyarrow's own are ValueErrors and OSErrors
        raise StoreError(f"artefact {key[:16]}: {name} is no table that can be read ({error})") from None
