"""What the README's figures come from; each module here runs on its own, `watermark` also as `prov bench watermark`."""
