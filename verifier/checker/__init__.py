"""The independent checker of certificates: the standard library only, nothing of the rest of gradproof. [trusted]"""
