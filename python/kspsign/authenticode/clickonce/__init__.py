"""Manifests of ClickOnce and VSTO: XML that states hashes of other files, with a publisher's signature in it.

An application manifest (`x.exe.manifest`, `x.dll.manifest`) lists the files of an application, a deployment manifest
(`x.application`, `x.vsto`) the application manifest. Each carries two signatures by one key: a strong name over the
manifest, and inside it an Authenticode licence (XrML) that grants the manifest's hash to a publisher, which is the one
that has certificates and a timestamp ([MS-CLICKONCE]; SignedCmiManifest2 of .NET).
"""
