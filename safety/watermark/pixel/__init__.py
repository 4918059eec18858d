"""The pixel layer: spread-spectrum bits on a keyed plane, found again under any affine map by 16 faint waves."""
