"""XML signatures (W3C XML Signature Syntax and Processing, second edition): what VSIX packages and ClickOnce manifests
have in common. Documents are read strictly, algorithms and transforms are those of a closed list."""
