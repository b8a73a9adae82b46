-- Where a topic stands: epoch, offset, mark.
open()
return {epoch, offset, mark}
