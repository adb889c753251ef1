"""Operations written for measured speed; tests hold each to a plain equivalent."""
